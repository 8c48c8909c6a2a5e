package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"meridian/config"
	"meridian/handover"
	"meridian/server/answer"
)

// Pauses after a failed accept: it fails repeatedly if the process has no free file descriptor.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
	acceptLogPause = time.Minute // between two reports of failures
)

// tcpListener accepts the TCP connections of one address, within the limits of config.TCP (RFC
// 7766 6.2) or config.Encrypted.
type tcpListener struct {
	server    *Server
	transport answer.Transport
	tls       *tls.Config    // nil: plain TCP
	asked     netip.AddrPort // as configured
	listener  *net.TCPListener
	next      func() (*net.TCPConn, error) // accepts a connection of listener
	streams   sync.WaitGroup
	closing   chan struct{} // closed to end run
	done      chan struct{} // closed when run has ended
	conns     *tcpConns
}

// listenSocket binds or inherits a socket and returns the bound address. The listeners in beside hold the port
// until they are closed.
func (s *Server) listenSocket(use handover.Use, asked netip.AddrPort, beside []*listener) (*net.TCPListener, netip.AddrPort, error) {
	listener, err := s.options.Inherited.TakeListener(use, asked)
	if listener == nil && err == nil {
		listener, err = bindTCP(asked, beside)
	}
	if err != nil {
		return nil, asked, bindError(asked, "TCP", beside, err)
	}
	real := listener.Addr().(*net.TCPAddr).AddrPort()
	return listener, netip.AddrPortFrom(asked.Addr(), real.Port()), nil
}

// bindError explains why an address cannot be bound.
func bindError(asked netip.AddrPort, protocol string, beside []*listener, err error) error {
	if len(beside) > 0 {
		return fmt.Errorf("listen on %s, %s, in place of %s: %w; restart to change from one to the other", asked, protocol, beside[0].asked, err)
	}
	return fmt.Errorf("listen on %s, %s: %w", asked, protocol, err)
}

// listenTCP is listenSocket for a tcpListener.
func (s *Server) listenTCP(use handover.Use, asked netip.AddrPort, beside []*listener) (*tcpListener, netip.AddrPort, error) {
	listener, addr, err := s.listenSocket(use, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	t := &tcpListener{
		server:    s,
		transport: answer.TCP,
		asked:     asked,
		listener:  listener,
		next:      listener.AcceptTCP,
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
		conns:     newTCPConns(),
	}
	if use == handover.TLS {
		t.transport, t.tls = answer.DoT, s.tls.Config(tls.VersionTLS12, "dot")
	}
	return t, addr, nil
}

// bindTCP binds asked. It shares the port only with the listeners in beside: a second server,
// without that option, gets an error for a port in use.
func bindTCP(asked netip.AddrPort, beside []*listener) (*net.TCPListener, error) {
	config, err := sharing(beside)
	if err != nil {
		return nil, err
	}
	l, err := config.Listen(context.Background(), Network("tcp", asked.Addr()), asked.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil // the network is always tcp
}

// sharing returns how to bind a socket that shares its port with those of the listeners in beside.
func sharing(beside []*listener) (config net.ListenConfig, err error) {
	for _, l := range beside {
		raw, err := l.conns.socket().SyscallConn()
		if err != nil {
			return config, err
		}
		if err := SharePort(raw); err != nil {
			return config, err
		}
		config.Control = func(_, _ string, raw syscall.RawConn) error { return SharePort(raw) }
	}
	return config, nil
}

// run accepts connections until drain.
func (t *tcpListener) run() {
	defer close(t.done)
	var failing acceptFailures
	for {
		conn, err := t.next()
		switch {
		case err == nil:
			failing.end(t.server, t.transport, t.listener.Addr())
			t.server.pollBetweenAccepts()
			t.accept(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			t.server.CountConnection(t.transport, answer.AcceptFailed)
			pause := failing.log(t.server, t.transport, t.listener.Addr(), err)
			select {
			case <-t.closing:
			case <-time.After(pause):
			}
		}
	}
}

// pollBetweenAccepts waits until the network has been polled: while many clients connect, accepting would never wait for
// one, and UDP would wait for a time slice.
func (s *Server) pollBetweenAccepts() {
	s.acceptSlots.acquire(true)
	s.acceptSlots.release()
}

// acceptFailures describes consecutive failed accepts.
type acceptFailures struct {
	count    int
	since    time.Time
	reported bool      // the log has them
	last     time.Time // when the log last reported failures
}

// log counts a failed accept, logs the first of several, at most once in acceptLogPause, and returns the pause before the
// next attempt.
func (f *acceptFailures) log(s *Server, over answer.Transport, at net.Addr, err error) (pause time.Duration) {
	now := time.Now()
	if f.count++; f.count > 1 {
		return min(acceptPauseMin<<min(f.count-1, 10), acceptPauseMax)
	}
	f.since, f.reported = now, f.last.IsZero() || now.Sub(f.last) >= acceptLogPause
	if f.reported {
		f.last = now
		limit := "server.tcp.max"
		if over != answer.TCP {
			limit = "server.encrypted.max"
		}
		s.options.Logger.Error("cannot accept TCP connections; they wait, and UDP is answered",
			"transport", over.String(), "address", at.String(), "error", err, "hint", "raise the limit of open files, or lower "+limit)
	}
	return acceptPauseMin
}

// end logs the end of reported failures.
func (f *acceptFailures) end(s *Server, over answer.Transport, at net.Addr) {
	if f.count > 0 && f.reported {
		s.options.Logger.Info("TCP connections are accepted again", "transport", over.String(), "address", at.String(),
			"failures", f.count, "after", time.Since(f.since).Round(time.Millisecond))
	}
	f.count = 0
}

// accept serves a new connection.
func (t *tcpListener) accept(conn *net.TCPConn) {
	c := newStream(t.server, conn)
	c.proxied = t.server.IsProxy(c.source)
	c.unidentified = c.proxied
	t.serve(c)
}

// limitsOf returns the limits of the connections of a transport.
func (s *Server) limitsOf(t answer.Transport) config.TCP {
	settings := s.Settings()
	if t == answer.TCP {
		return settings.TCP
	}
	return config.TCP{Idle: settings.Encrypted.Idle, Max: settings.Encrypted.Max, PerClient: settings.Encrypted.PerClient}
}

// serve serves a connection. At a limit, it closes the longest-idle connection first.
func (t *tcpListener) serve(c *stream) {
	if t.tls != nil {
		c.encrypt(t.transport, t.tls)
	}
	if !t.conns.open(t.server, t.transport, t.listener.Addr(), &c.openConn) {
		c.abort()
		return
	}
	t.streams.Go(func() {
		if t.beginProxied(c) && (t.tls == nil || c.handshake()) {
			c.run()
		}
		if c.waits {
			c.passOn(t.asked)
		}
		t.server.tcpBuffers.put(c.in)
		t.end(c)
	})
}

// end closes a connection. Those of many clients may reach a time limit together: they end one after another, and the
// network is polled between two of them.
func (t *tcpListener) end(c *stream) {
	t.server.closeSlots.acquire(true)
	defer t.server.closeSlots.release()
	c.close()
	t.conns.remove(&c.openConn)
	t.server.CountConnection(t.transport, answer.Closed)
}

// open adds a connection that was accepted at an address, and closes others to stay within the limits. It returns false
// if no connection is accepted any more.
func (t *tcpConns) open(s *Server, transport answer.Transport, at net.Addr, c *openConn) bool {
	evicted, ok := t.add(c, s.limitsOf(transport))
	if !ok {
		return false
	}
	s.evict(transport, at, evicted)
	s.CountConnection(transport, answer.Accepted)
	return true
}

// evict closes connections at a limit.
func (s *Server) evict(transport answer.Transport, at net.Addr, evicted []eviction) {
	for _, e := range evicted {
		s.CountConnection(transport, answer.Evicted)
		e.conn.abort()
		s.logEviction(transport, at, e)
	}
}

// logEviction logs the first connection that a limit closes, then the 2nd, 4th, 8th and so on.
func (s *Server) logEviction(transport answer.Transport, at net.Addr, e eviction) {
	if e.count&(e.count-1) != 0 {
		return
	}
	s.options.Logger.Warn("connection limit reached; the longest-idle connection is closed for each new one",
		"transport", transport.String(), "limit", e.limit.String(), "address", at.String(), "client", e.conn.source, "closed", e.count)
}

// drain stops accepting, and lets the connections end when their received queries are answered,
// at end at the latest.
func (t *tcpListener) drain(end time.Time) {
	close(t.closing)
	_ = t.listener.Close()
	<-t.done
	how := ending{at: end}
	if t.tls == nil { // the state of TLS is in this process only
		how.pass = t.server.pass
	}
	t.conns.close(func(c *openConn) { c.drain(how) })
}

// socket returns the listening socket.
func (t *tcpListener) socket() syscall.Conn { return t.listener }

// close waits for the connections if the listener was running, and closes the socket.
func (t *tcpListener) close(running bool) {
	if running {
		t.streams.Wait()
	}
	_ = t.listener.Close()
}
