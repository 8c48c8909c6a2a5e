package server

import (
	"net"
	"net/netip"
	"time"

	"meridian/handover"
)

// passFunc passes a TCP connection to another process, or fails at the deadline: the address that it was accepted at,
// as configured, and what was received and not answered.
type passFunc func(at netip.AddrPort, conn *net.TCPConn, received []byte, deadline time.Time) error

// PassConnections makes the server pass its TCP connections to another process when it stops, each between two queries.
// So a client does not notice the change.
func (s *Server) PassConnections(pass func(at netip.AddrPort, conn *net.TCPConn, received []byte, deadline time.Time) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass = pass
}

// passOn passes a connection that waits for its client. If that fails, the connection is closed, and the client asks
// again.
func (c *stream) passOn(at netip.AddrPort) {
	if e := c.ending.Load(); e != nil && e.pass != nil {
		_ = e.pass(at, c.tcp, c.in, e.at) // the other process has ended, or does not receive
	}
}

// Adopt serves a connection that another process has passed. It is closed if this server does not listen at its
// address, or if its client has reset it.
func (s *Server) Adopt(at netip.AddrPort, conn *net.TCPConn, received []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reset := conn.RemoteAddr() == nil // such a connection has no remote address any more
	for _, l := range s.listeners {
		if l.use == handover.TCP && l.asked == at && l.started && !reset {
			c := newStream(s, conn)
			c.in = append(c.in, received...)
			l.conns.(*tcpListener).serve(c) // of this use
			return
		}
	}
	_ = conn.Close()
}
