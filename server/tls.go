package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"meridian/certs"
	"meridian/server/answer"
	"meridian/server/proxy"
)

// closeNotifyTime is how long a connection of TLS waits for a client that does not read, to say that it ends.
const closeNotifyTime = 100 * time.Millisecond

// encrypt makes c a connection of TLS.
func (c *stream) encrypt(transport answer.Transport, config *tls.Config) {
	c.transport, c.conn = transport, tls.Server(&pacedConn{TCPConn: c.tcp, stream: c, turn: newHandshakeTurn(c.server)}, config)
}

// pacedConn is the connection below one of TLS. Its handshakes take turns.
type pacedConn struct {
	*net.TCPConn
	stream *stream
	turn   handshakeTurn

	received bool // Read returns nothing: TLS is to use what it has received. Only the goroutine of the stream uses it
}

// errNotReceived is the error of a read of what TLS has not received. It is temporary, so that TLS reads again later.
type errNotReceived struct{}

func (errNotReceived) Error() string   { return "nothing more is received" }
func (errNotReceived) Timeout() bool   { return true }
func (errNotReceived) Temporary() bool { return true }

// readReceived appends the queries that TLS has received already: a read returns those of one record, and clients send each
// query in a record of its own.
func (c *stream) readReceived() {
	over, ok := c.conn.(*tls.Conn)
	if !ok {
		return
	}
	below := over.NetConn().(*pacedConn) // encrypt made it
	below.received = true
	for more := true; more && len(c.in) < cap(c.in); {
		n, err := over.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		more = err == nil && n > 0 // TLS returns other errors again
	}
	below.received = false
}

// BeginWork is part of encrypted.Paced.
func (c *pacedConn) BeginWork(context.Context) error {
	return c.turn.begin(c.stream.client)
}

// Read is part of net.Conn.
func (c *pacedConn) Read(p []byte) (int, error) {
	if c.received {
		return 0, errNotReceived{}
	}
	c.turn.end()
	return c.TCPConn.Read(p)
}

// Write is part of net.Conn.
func (c *pacedConn) Write(p []byte) (int, error) {
	c.turn.end()
	return c.TCPConn.Write(p)
}

// RemoteAddr returns the address of the client, which the PROXY header of the connection may say.
func (c *pacedConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.stream.source, c.stream.port))
}

// handshakeTurn is the turn of a connection to work on its handshake. As with answers to TCP, few connections do so at the
// same time, and the network is polled before each: UDP does not wait for handshakes. A turn is never held while the
// server waits for the client.
type handshakeTurn struct {
	server *Server
	late   time.Time // when the handshake has lasted too long
	held   atomic.Bool
}

// newHandshakeTurn returns the turn of a connection that begins now.
func newHandshakeTurn(s *Server) handshakeTurn {
	return handshakeTurn{server: s, late: time.Now().Add(s.Settings().Encrypted.Query)}
}

// errLate is the error of a handshake that has waited too long for its turn. Its work would be lost, and while there are too
// many handshakes, others would wait too long for it.
var errLate = errors.New("the handshake has waited too long")

// begin waits for the turn of a client. During the turn, it only polls the network.
func (t *handshakeTurn) begin(client netip.Addr) error {
	if t.held.Load() {
		t.server.handshakeSlots.release()
		t.server.handshakeSlots.acquire(true)
		return nil
	}
	t.server.handshakeShares.acquire(client, nil)
	if time.Now().After(t.late) {
		t.server.handshakeShares.release()
		return errLate
	}
	t.server.handshakeSlots.acquire(true)
	t.held.Store(true)
	return nil
}

// end ends the turn, if there is one.
func (t *handshakeTurn) end() {
	if t.held.Load() && t.held.Swap(false) {
		t.server.handshakeSlots.release()
		t.server.handshakeShares.release()
	}
}

// handshake completes the handshake of a connection of TLS.
func (c *stream) handshake() bool {
	limit := c.server.Settings().Encrypted.Query
	_ = c.conn.SetDeadline(time.Now().Add(limit)) // fails only if closed, as the handshake will
	c.resetDrainDeadlines()
	over := c.conn.(*tls.Conn) // encrypt made it
	defer over.NetConn().(*pacedConn).turn.end()
	if err := over.Handshake(); err != nil {
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

// inHandshakeSlot runs the signature of a handshake of QUIC in a turn of the client. Handshakes that wait for a turn fail when
// their listener drains.
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
