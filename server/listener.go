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

	"meridian/config"
	"meridian/handover"
)

// endpoint is an address to listen on, and what for.
type endpoint struct {
	use   handover.Use   // TCP: UDP as well
	asked netip.AddrPort // as configured
}

// connListener accepts the connections of one address.
type connListener interface {
	run()                // until drain
	drain(end time.Time) // stops accepting and ends the connections, at end at the latest
	close(running bool)  // waits for them, if it ran, and closes the socket
	socket() syscall.Conn
}

// listener is one address that receives queries. The server's lock guards it.
//
// The number of its workers does not change once it is started: closing a socket that shares its port would lose
// packets that the kernel has just assigned to it.
type listener struct {
	endpoint
	server  *Server
	addr    netip.AddrPort // with the real port
	conns   connListener
	udp     []*udpWorker // of use TCP
	started bool

	// Of sockets inherited from a process that still answers: it has another number of workers.
	missing int            // the number of workers to add at start, because a new socket gets packets at once
	surplus []*net.UDPConn // to leave to the other process at start
}

// newListener binds an endpoint; if that is of UDP, with one UDP socket for each worker if the system can share a port. It
// binds TCP first, because only TCP reports that another process uses the port. The listeners in
// gone that overlap hold it until they are closed.
func (s *Server) newListener(asked endpoint, cfg *config.Server, gone []*listener) (*listener, error) {
	// The kernel may pick a TCP port that is taken for UDP: let it pick again.
	const tries = 10
	for try := 1; ; try++ {
		l := &listener{server: s, endpoint: asked}
		var err error
		if err = l.listenConns(cfg, overlapping(asked, gone)); err != nil {
			return nil, err
		}
		if asked.use != handover.TCP {
			return l, nil
		}
		if err = l.listenUDP(s.workers(cfg)); err == nil {
			return l, nil
		}
		l.close()
		if asked.asked.Port() != 0 || try == tries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

// listenConns binds the socket of the endpoint's connections.
func (l *listener) listenConns(cfg *config.Server, beside []*listener) (err error) {
	switch l.use {
	case handover.QUIC:
		l.conns, l.addr, err = l.server.listenQUIC(l.asked, beside)
	case handover.HTTP3:
		l.conns, l.addr, err = l.server.listenHTTP3(l.asked, beside)
	case handover.HTTPS:
		l.conns, l.addr, err = l.server.listenHTTPS(l.asked, &cfg.Encrypted, beside)
	default:
		l.conns, l.addr, err = l.server.listenTCP(l.use, l.asked, beside)
	}
	return err
}

// overlapping returns the listeners that would receive packets for asked, or the reverse: one
// address is the wildcard of the other's port and family.
func overlapping(of endpoint, listeners []*listener) []*listener {
	asked := of.asked
	return slices.DeleteFunc(slices.Clone(listeners), func(l *listener) bool {
		return l.use != of.use || l.addr.Port() != asked.Port() || l.addr.Addr().Is4() != asked.Addr().Is4() ||
			!l.addr.Addr().IsUnspecified() && !asked.Addr().IsUnspecified()
	})
}

// listenUDP binds a UDP socket for each worker, unless it inherits sockets.
func (l *listener) listenUDP(workers int) error {
	if !reusePort {
		workers = 1
	}
	defer func() {
		if len(l.udp) > 0 {
			l.server.warnOfSmallBuffers(l.udp[0].conn, l.asked)
		}
	}()
	inherited, err := l.inheritUDP(workers)
	if err != nil || inherited {
		return err
	}
	return l.addWorkers(workers)
}

// addWorkers binds a UDP socket for each of some more workers.
func (l *listener) addWorkers(count int) error {
	for range count {
		conn, err := listenUDP(l.addr)
		if err != nil {
			return fmt.Errorf("listen on %s, UDP: %w", l.asked, err)
		}
		l.udp = append(l.udp, newUDPWorker(l.server, conn, l.addr.Addr()))
	}
	return nil
}

// warnOfSmallBuffers warns if the system grants the UDP socket of an address smaller buffers than requested.
func (s *Server) warnOfSmallBuffers(conn *net.UDPConn, asked netip.AddrPort) {
	receive, send := bufferSizes(conn)
	if min(receive, send) >= socketBuffer {
		return
	}
	s.options.Logger.Warn("UDP socket buffers are smaller than requested; bursts of queries or answers may be lost",
		"listen", asked.String(), "receive", receive, "send", send, "requested", socketBuffer,
		"hint", "raise net.core.rmem_max and net.core.wmem_max as deploy/sysctl does, or grant CAP_NET_ADMIN")
}

// start starts the workers and the TCP listener, once.
func (l *listener) start() {
	if l.started {
		return
	}
	l.started = true
	l.adjustWorkers()
	go l.conns.run()
	for _, w := range l.udp {
		go w.run()
	}
}

// drainTime limits how long stopping sockets and connections still answer, all together.
const drainTime = time.Second

// stop drains listeners for up to drainTime, until the queries already received are answered,
// then closes their sockets.
func stop(listeners []*listener) {
	end := time.Now().Add(drainTime)
	for _, l := range listeners {
		l.drain(end)
	}
	for _, l := range listeners {
		l.close()
	}
}

// drain makes the workers stop by end.
func (l *listener) drain(end time.Time) {
	if !l.started {
		return
	}
	l.conns.drain(end)
	for _, w := range l.udp {
		w.drain(end)
	}
}

// close waits for the workers and closes the sockets.
func (l *listener) close() {
	l.conns.close(l.started)
	for _, w := range l.udp {
		w.close(l.started)
	}
	for _, conn := range l.surplus {
		_ = conn.Close()
	}
}

// Network returns proto for the family of addr. An IPv6 socket takes IPv6 only, so that 0.0.0.0
// and [::] can both be listened on.
func Network(proto string, addr netip.Addr) string {
	if addr.Is4() {
		return proto + "4"
	}
	return proto + "6"
}

// listenUDP binds one UDP socket.
func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	return bindUDP(net.ListenConfig{Control: prepareUDP}, addr)
}

// bindUDP binds an address with the settings of a socket for queries.
func bindUDP(config net.ListenConfig, addr netip.AddrPort) (*net.UDPConn, error) {
	c, err := config.ListenPacket(context.Background(), Network("udp", addr.Addr()), addr.String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UDPConn) // the network is always udp
	if err := completeUDP(conn, addr.Addr()); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
