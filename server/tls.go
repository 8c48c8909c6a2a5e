package server

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"meridian/certs"
	"meridian/server/answer"
)

// closeNotifyTime is how long a connection of TLS waits for a client that does not read, to say that it ends.
const closeNotifyTime = 100 * time.Millisecond

// encrypt makes c a connection of TLS.
func (c *stream) encrypt(transport answer.Transport, config *tls.Config) {
	c.transport, c.conn = transport, tls.Server(c.tcp, config)
}

// handshake completes the handshake of a connection of TLS.
func (c *stream) handshake() bool {
	limit := c.server.Settings().Encrypted.Query
	_ = c.conn.SetDeadline(time.Now().Add(limit)) // fails only if closed, as the handshake will
	c.resetDrainDeadlines()
	if err := c.conn.(*tls.Conn).Handshake(); err != nil { // encrypt made conn
		c.server.CountConnection(c.transport, answer.HandshakeFailed)
		return false
	}
	c.server.CountConnection(c.transport, answer.HandshakeDone)
	return true
}

// close closes the connection. TLS tells the client first.
func (c *stream) close() {
	if c.transport != answer.TCP {
		stuck := time.AfterFunc(closeNotifyTime, c.abort)
		defer stuck.Stop()
	}
	_ = c.conn.Close()
}

// material returns the certificates in use; nil: there are none.
func (s *Server) material() *certs.Material {
	if store := s.Snapshot().Certificates; store != nil {
		return store.Current()
	}
	return nil
}

// inHandshakeSlot runs the costly part of the handshake of a client. As with answers to TCP, few run at the same time,
// and the network is polled before each: UDP does not wait for handshakes. Clients take turns.
func (s *Server) inHandshakeSlot(client net.Addr, work func()) {
	s.handshakeShares.acquire(handshakeClient(client))
	defer s.handshakeShares.release()
	s.handshakeSlots.acquire(true)
	defer s.handshakeSlots.release()
	work()
}

// handshakeClient returns the client of a connection, see clientNetwork. Connections without an IP address are one client.
func handshakeClient(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return clientNetwork(a.AddrPort().Addr().Unmap().WithZone(""))
	case *net.UDPAddr:
		return clientOf(a)
	}
	return netip.Addr{}
}
