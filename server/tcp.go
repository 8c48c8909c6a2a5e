package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Pauses after a failed accept: it fails repeatedly if the process has no free file descriptor.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// tcpListener accepts the TCP connections of one address, within the limits of config.TCP (RFC
// 7766 6.2).
type tcpListener struct {
	server   *Server
	listener *net.TCPListener
	streams  sync.WaitGroup
	closing  chan struct{} // closed to end run
	done     chan struct{} // closed when run has ended
	conns    *tcpConns
}

// listenTCP binds asked and returns the bound address. The listeners in beside hold the port
// until they are closed.
func (s *Server) listenTCP(asked netip.AddrPort, beside []*listener) (*tcpListener, netip.AddrPort, error) {
	listener, err := bindTCP(asked, beside)
	switch {
	case err != nil && len(beside) > 0:
		return nil, asked, fmt.Errorf("listen on %s, TCP, in place of %s: %w; restart to change from one to the other", asked, beside[0].asked, err)
	case err != nil:
		return nil, asked, fmt.Errorf("listen on %s, TCP: %w", asked, err)
	}
	t := &tcpListener{
		server:   s,
		listener: listener,
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		conns:    newTCPConns(),
	}
	real := t.listener.Addr().(*net.TCPAddr).AddrPort()
	return t, netip.AddrPortFrom(asked.Addr(), real.Port()), nil
}

// bindTCP binds asked. It shares the port only with the listeners in beside: a second server,
// without that option, gets an error for a port in use.
func bindTCP(asked netip.AddrPort, beside []*listener) (*net.TCPListener, error) {
	var config net.ListenConfig
	for _, l := range beside {
		raw, err := l.tcp.listener.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := sharePort(raw); err != nil {
			return nil, err
		}
		config.Control = func(_, _ string, raw syscall.RawConn) error { return sharePort(raw) }
	}
	l, err := config.Listen(context.Background(), network("tcp", asked.Addr()), asked.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil // the network is always tcp
}

// run accepts connections until drain.
func (t *tcpListener) run() {
	defer close(t.done)
	pause := acceptPauseMin
	for {
		conn, err := t.listener.AcceptTCP()
		switch {
		case err == nil:
			pause = acceptPauseMin
			t.accept(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-t.closing:
			case <-time.After(pause):
			}
			pause = min(2*pause, acceptPauseMax)
		}
	}
}

// accept serves conn. At a limit, it closes the longest-idle connection first.
func (t *tcpListener) accept(conn *net.TCPConn) {
	c := newStream(t.server, conn)
	evicted, ok := t.conns.add(c, t.server.current.Load().config.TCP)
	if !ok {
		_ = conn.Close()
		return
	}
	for _, e := range evicted {
		t.server.shared.add(tcpEvicted, 1)
		_ = e.stream.conn.Close() // its goroutine then ends
		t.logEviction(e)
	}
	t.server.shared.add(tcpAccepted, 1)
	t.streams.Go(func() {
		c.run()
		_ = conn.Close()
		t.conns.remove(c)
		t.server.shared.add(tcpClosed, 1)
	})
}

// logEviction logs the first connection that a limit closes, then the 2nd, 4th, 8th and so on.
func (t *tcpListener) logEviction(e eviction) {
	if e.count&(e.count-1) != 0 {
		return
	}
	t.server.options.Logger.Warn("TCP connection limit reached; the longest-idle connection is closed for each new one",
		"transport", "tcp", "limit", e.limit.String(), "address", t.listener.Addr().String(), "client", e.stream.source, "closed", e.count)
}

// drain stops accepting, and lets the connections end when their received queries are answered,
// at end at the latest.
func (t *tcpListener) drain(end time.Time) {
	close(t.closing)
	_ = t.listener.Close()
	<-t.done
	t.conns.close(func(c *stream) { c.drain(end) })
}

// close waits for the connections if the listener was running, and closes the socket.
func (t *tcpListener) close(running bool) {
	if running {
		t.streams.Wait()
	}
	_ = t.listener.Close()
}
