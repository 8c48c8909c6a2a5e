package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/server/answer"
	"meridian/server/proxy"
)

// A connection from a source in server.proxy.from begins with a PROXY header, before TLS. Until it is read the client of the
// connection is not known; only the limit on all connections applies.

// readProxyHeader reads the PROXY header of a connection, and returns its client; the source, if the proxy itself is the
// client. It returns false if the header cannot be used, or if a limit has closed the connection.
func (s *Server) readProxyHeader(from io.Reader, conns *tcpConns, transport answer.Transport, at net.Addr, c *openConn, source netip.AddrPort) (client netip.AddrPort, ok bool) {
	client, err := proxy.Read(from)
	if errors.Is(err, net.ErrClosed) { // at a limit
		return client, false
	}
	if err != nil {
		s.Count(answer.ProxyError(err), 1)
		return client, false
	}
	if !client.IsValid() {
		client = source
	}
	evicted, ok := conns.identify(c, client.Addr(), s.limitsOf(transport))
	s.evict(transport, at, evicted)
	return client, ok
}

// isUntrusted reports whether a connection, from a source that must send no PROXY header, begins with one, and counts it.
// No message does: it would be a query with a response code and 2641 questions.
func (s *Server) isUntrusted(begin []byte, source netip.Addr) bool {
	if !proxy.Starts(begin) {
		return false
	}
	s.CountUntrusted(source)
	return true
}

// identify sets the client of a connection that was added without one, and closes others to stay within its limit. It
// returns false if the connection is closed, or none is accepted any more.
func (t *tcpConns) identify(c *openConn, source netip.Addr, limits config.TCP) (evicted []eviction, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || c.inAll.conn == nil {
		return nil, false
	}
	c.source, c.client, c.unidentified = source, clientNetwork(source), false
	return t.addClientLocked(c, limits), true
}

// beginProxied reads the PROXY header of a connection, if it must have one.
func (t *tcpListener) beginProxied(c *stream) bool {
	if !c.proxied {
		return true
	}
	limit := min(t.server.Settings().Encrypted.Query, t.server.limitsOf(c.transport).Idle)
	_ = c.tcp.SetReadDeadline(time.Now().Add(limit)) // fails only if closed, as Read will
	c.resetDrainDeadlines()
	client, ok := t.server.readProxyHeader(c.tcp, t.conns, c.transport, t.listener.Addr(), &c.openConn, netip.AddrPortFrom(c.source, c.port))
	c.port = client.Port()
	return ok
}

// Read reads from the connection, after its PROXY header if it must have one.
func (c *httpsConn) Read(p []byte) (int, error) {
	c.turn.end()
	if c.proxied {
		client, ok := c.listener.server.readProxyHeader(c.TCPConn, c.listener.conns, answer.DoH, c.listener.Addr(), &c.openConn, netip.AddrPortFrom(c.source, c.port))
		if !ok {
			return 0, net.ErrClosed
		}
		c.proxied, c.begun, c.port = false, true, client.Port()
	}
	n, err := c.TCPConn.Read(p)
	if !c.begun && n > 0 {
		if c.begun = true; c.listener.server.isUntrusted(p[:n], c.source) {
			return 0, net.ErrClosed
		}
	}
	return n, err
}

// RemoteAddr returns the address of the client.
func (c *httpsConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.source, c.port))
}
