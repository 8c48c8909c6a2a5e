package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// listener is one address that questions come in on. The server's lock guards it.
type listener struct {
	server  *Server
	asked   netip.AddrPort // as configured
	addr    netip.AddrPort // with the real port
	tcp     *tcpListener
	udp     []*udpWorker
	started int // how many of udp run; tcp runs when any does
}

// newListener binds TCP on asked; grow binds UDP. TCP is first because it can
// tell that somebody else listens there: UDP sockets share a port.
func (s *Server) newListener(asked netip.AddrPort) (*listener, error) {
	// A port that the kernel picked for TCP may be taken for UDP: it picks again.
	const tries = 10
	for try := 1; ; try++ {
		l := &listener{server: s, asked: asked}
		var err error
		if l.tcp, l.addr, err = s.listenTCP(asked); err != nil {
			return nil, err
		}
		if err = l.grow(1); err == nil {
			return l, nil
		}
		l.stop()
		if asked.Port() != 0 || try == tries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

// grow binds UDP sockets until there are n, where the system can share a port.
func (l *listener) grow(n int) error {
	if !reusePort {
		n = min(n, 1)
	}
	for len(l.udp) < n {
		conn, err := listenUDP(l.addr)
		if err != nil {
			return fmt.Errorf("listen on %s, UDP: %w", l.asked, err)
		}
		l.udp = append(l.udp, newUDPWorker(l.server, conn, l.addr.Addr()))
	}
	return nil
}

// shrink stops UDP workers until there are n.
func (l *listener) shrink(n int) {
	n = max(n, 1)
	for len(l.udp) > n {
		last := len(l.udp) - 1
		l.udp[last].stop(last < l.started)
		l.udp = l.udp[:last]
		l.started = min(l.started, last)
	}
}

// start lets those answer that do not yet.
func (l *listener) start() {
	if l.started == 0 {
		go l.tcp.run()
	}
	for _, w := range l.udp[l.started:] {
		go w.run()
	}
	l.started = len(l.udp)
}

// stop closes all sockets, when the queries already received are answered.
func (l *listener) stop() {
	l.tcp.stop(l.started > 0)
	for i, w := range l.udp {
		w.stop(i < l.started)
	}
}

// stop stops listeners, all at once.
func stop(listeners []*listener) {
	var all sync.WaitGroup
	for _, l := range listeners {
		all.Go(l.stop)
	}
	all.Wait()
}

// network is proto for the family of addr: an IPv6 socket takes IPv6 only,
// so that 0.0.0.0 and [::] can both be listened on.
func network(proto string, addr netip.Addr) string {
	if addr.Is4() {
		return proto + "4"
	}
	return proto + "6"
}

// listenUDP binds one UDP socket.
func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: prepareUDP}
	c, err := config.ListenPacket(context.Background(), network("udp", addr.Addr()), addr.String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UDPConn) // it is for networks of udp
	if err := completeUDP(conn, addr.Addr()); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
