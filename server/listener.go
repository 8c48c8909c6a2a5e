package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// listener is one address that questions come in on. The server's lock guards it.
//
// Its workers stay as many as they were: a socket that shares its port and is
// closed takes along what the kernel gave it a moment before.
type listener struct {
	server  *Server
	asked   netip.AddrPort // as configured
	addr    netip.AddrPort // with the real port
	tcp     *tcpListener
	udp     []*udpWorker
	started bool
}

// newListener binds asked, UDP once for each of workers where the system can
// share a port. TCP is first because it can tell that somebody else listens there;
// those of gone that overlap do until they are closed.
func (s *Server) newListener(asked netip.AddrPort, workers int, gone []*listener) (*listener, error) {
	// A port that the kernel picked for TCP may be taken for UDP: it picks again.
	const tries = 10
	for try := 1; ; try++ {
		l := &listener{server: s, asked: asked}
		var err error
		if l.tcp, l.addr, err = s.listenTCP(asked, overlapping(asked, gone)); err != nil {
			return nil, err
		}
		if err = l.listenUDP(workers); err == nil {
			return l, nil
		}
		l.close()
		if asked.Port() != 0 || try == tries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

// overlapping is those of listeners that take packets for asked, or asked for
// them: one is a wildcard of the other's port and family.
func overlapping(asked netip.AddrPort, listeners []*listener) []*listener {
	return slices.DeleteFunc(slices.Clone(listeners), func(l *listener) bool {
		return l.addr.Port() != asked.Port() || l.addr.Addr().Is4() != asked.Addr().Is4() ||
			!l.addr.Addr().IsUnspecified() && !asked.Addr().IsUnspecified()
	})
}

// listenUDP binds a UDP socket for each worker.
func (l *listener) listenUDP(workers int) error {
	if !reusePort {
		workers = 1
	}
	defer l.warnOfSmallBuffers()
	for range workers {
		conn, err := listenUDP(l.addr)
		if err != nil {
			return fmt.Errorf("listen on %s, UDP: %w", l.asked, err)
		}
		l.udp = append(l.udp, newUDPWorker(l.server, conn, l.addr.Addr()))
	}
	return nil
}

// warnOfSmallBuffers warns if the system gives a UDP socket smaller buffers than it is asked for.
func (l *listener) warnOfSmallBuffers() {
	if len(l.udp) == 0 {
		return
	}
	receive, send := bufferSizes(l.udp[0].conn)
	if min(receive, send) >= socketBuffer {
		return
	}
	l.server.options.Logger.Warn("UDP socket buffers are smaller than asked; bursts of queries, or of answers, may be lost",
		"listen", l.asked.String(), "receive", receive, "send", send, "asked", socketBuffer,
		"hint", "raise net.core.rmem_max and net.core.wmem_max as deploy/sysctl does, or grant CAP_NET_ADMIN")
}

// start lets the sockets answer, unless they do.
func (l *listener) start() {
	if l.started {
		return
	}
	l.started = true
	go l.tcp.run()
	for _, w := range l.udp {
		go w.run()
	}
}

// drainTime bounds how long what stops still answers, all sockets and
// connections together.
const drainTime = time.Second

// stop closes all sockets of listeners when the queries already received are
// answered, or drainTime has passed.
func stop(listeners []*listener) {
	end := time.Now().Add(drainTime)
	for _, l := range listeners {
		l.drain(end)
	}
	for _, l := range listeners {
		l.close()
	}
}

// drain lets whoever runs end by end.
func (l *listener) drain(end time.Time) {
	if !l.started {
		return
	}
	l.tcp.drain(end)
	for _, w := range l.udp {
		w.drain(end)
	}
}

// close waits for whoever runs, and closes what is left open.
func (l *listener) close() {
	l.tcp.close(l.started)
	for _, w := range l.udp {
		w.close(l.started)
	}
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
