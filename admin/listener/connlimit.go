package listener

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// Limits of the admin listener. They leave room for the files that health checks need.
const (
	// maxConns is the maximum number of open connections.
	maxConns = 64
	// maxRequests is the maximum number of requests being handled. The other connections
	// wait for their clients and can be closed for a new one. So every client is accepted and
	// gets an answer from /healthz.
	maxRequests = maxConns - 16
)

// limitListener is a listener with at most maxConns open connections. At the limit, a new
// connection replaces the one that has waited longest for its client:
//
//	connection                                   may be closed for a new one
//	without a whole request, head and body       yes
//	its request is being answered                no
//	its client does not read the answer          yes
//
// A client that sends or reads single bytes counts as idle: the wait starts when the connection
// is accepted or its last request is answered.
type limitListener struct {
	net.Listener
	log *slog.Logger

	mu      sync.Mutex // guards all below, and the fields of limitedConn
	conns   map[*limitedConn]bool
	clock   uint64 // counts the beginnings of waits
	working int    // connections with a request that is being answered
	evicted uint64
	refused uint64 // requests over maxRequests
}

func newLimitListener(l net.Listener, log *slog.Logger) *limitListener {
	return &limitListener{Listener: l, log: log, conns: map[*limitedConn]bool{}}
}

// limitedConn is a connection of a limitListener.
type limitedConn struct {
	net.Conn
	listener *limitListener
	since    uint64 // by clock: when the wait for its client began
	working  bool   // its request is being answered
	writing  bool   // a write to it has not returned
}

// Accept returns the next connection. At the limit it closes the longest-idle one first.
func (l *limitListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &limitedConn{Conn: conn, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= maxConns {
		l.evictLocked()
	}
	l.waitLocked(c)
	l.conns[c] = true
	return c, nil
}

// evictLocked closes the connection that has waited longest for its client.
func (l *limitListener) evictLocked() {
	var longest *limitedConn
	for c := range l.conns {
		if (!c.working || c.writing) && (longest == nil || c.since < longest.since) {
			longest = c
		}
	}
	if longest == nil {
		return // maxRequests keeps some connections waiting
	}
	delete(l.conns, longest)
	_ = longest.Conn.Close() // its goroutine notices and ends
	if l.evicted++; l.evicted&(l.evicted-1) == 0 {
		l.log.Warn("API connection limit reached; the longest-idle connection is closed for each new one",
			"transport", "http", "limit", "connections", "max", maxConns, "client", longest.RemoteAddr().String(), "closed", l.evicted)
	}
}

func (l *limitListener) waitLocked(c *limitedConn) {
	l.clock++
	c.since = l.clock
}

// onState receives the connection states from http.Server.
func (l *limitListener) onState(conn net.Conn, state http.ConnState) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	if c, ok := conn.(*limitedConn); ok && state == http.StateIdle {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waitLocked(c)
	}
}

// startRequest reports whether the complete request of c may be handled now. If so, endRequest
// must follow.
func (l *limitListener) startRequest(c *limitedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.working >= maxRequests {
		if l.refused++; l.refused&(l.refused-1) == 0 {
			l.log.Warn("API request limit reached; requests are answered 503",
				"transport", "http", "limit", "requests", "max", maxRequests, "client", c.RemoteAddr().String(), "refused", l.refused)
		}
		return false
	}
	l.working++
	c.working = true
	return true
}

// endRequest ends a request that startRequest admitted.
func (l *limitListener) endRequest(c *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working--
	c.working = false
}

// Write writes an answer. While the client does not read it, c waits for the client.
func (c *limitedConn) Write(b []byte) (int, error) {
	c.setWriting(true)
	defer c.setWriting(false)
	return c.Conn.Write(b)
}

func (c *limitedConn) setWriting(writing bool) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.writing = writing
}

// Close closes the connection and makes room for another one.
func (c *limitedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
