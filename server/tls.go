package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"meridian/certs"
	"meridian/server/answer"
	"meridian/server/proxy"
)

// closeNotifyTime is how long a connection of TLS waits for a client that does not read, to say that it ends.
const closeNotifyTime = 100 * time.Millisecond

// encrypt makes c a connection of TLS.
func (c *stream) encrypt(transport answer.Transport, config *tls.Config) {
	var conn net.Conn = c.tcp
	if c.proxied {
		conn = proxiedConn{c.tcp, c}
	}
	c.transport, c.conn = transport, tls.Server(conn, config)
}

// handshake completes the handshake of a connection of TLS.
func (c *stream) handshake() bool {
	limit := c.server.Settings().Encrypted.Query
	_ = c.conn.SetDeadline(time.Now().Add(limit)) // fails only if closed, as the handshake will
	c.resetDrainDeadlines()
	if err := c.conn.(*tls.Conn).Handshake(); err != nil { // encrypt made conn
		if wrong := (tls.RecordHeaderError{}); errors.As(err, &wrong) && !c.proxied && proxy.MayStart(wrong.RecordHeader[:]) {
			c.server.CountUntrusted(c.source)
		}
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

// asksCertificates reports whether a rule of transfers may need the certificate of a client.
func (s *Server) asksCertificates() bool { return len(s.Snapshot().Trust) > 0 }

// errDraining is the error of a handshake that waits while its listener stops.
var errDraining = errors.New("the server stops accepting connections")

// inHandshakeSlot runs the costly part of the handshake of a client. As with answers to TCP, few run at the same time,
// and the network is polled before each: UDP does not wait for handshakes. Clients take turns. Handshakes of QUIC that
// wait for a slot fail when their listener drains.
func (s *Server) inHandshakeSlot(ctx context.Context, client net.Addr, work func()) error {
	var draining <-chan struct{}
	if h, ok := ctx.Value(handshakeKey{}).(*handshake); ok {
		draining = h.listener.stopping
	}
	if !s.handshakeShares.acquire(clientOf(client), draining) {
		return errDraining
	}
	defer s.handshakeShares.release()
	s.handshakeSlots.acquire(true)
	defer s.handshakeSlots.release()
	work()
	return nil
}
