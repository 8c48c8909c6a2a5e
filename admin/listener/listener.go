// Package listener accepts the connections of the HTTP API, with limits on what one client can
// hold, so that slow clients do not keep others out and health requests always get an answer.
package listener

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/handover"
	"meridian/server"
)

// Limits on the resources that one API client can hold.
const (
	maxHeader    = 16 << 10         // bytes of a request's header
	readTimeout  = 10 * time.Second // for a whole request
	writeTimeout = time.Minute      // for a whole answer
	idleTimeout  = time.Minute      // between two requests
	drainTimeout = time.Second      // for running requests at close
)

// Listener is the listener of the API. Its methods are for one goroutine.
type Listener struct {
	Configured netip.AddrPort // as configured
	listener   *net.TCPListener
	limit      *limitListener // on listener
	http       *http.Server
	handler    atomic.Pointer[http.Handler]
	security   atomic.Pointer[Security]
	served     chan struct{} // closed when http stops serving; nil: it never served
}

// Open binds asked, or takes its inherited socket. The port may still be held by before until that is closed; before is
// nil if there is none. Serve starts answering.
func Open(asked netip.AddrPort, before *Listener, inherited *handover.Sockets, log *slog.Logger) (*Listener, error) {
	bound, err := inherited.TakeListener(handover.API, asked)
	if bound == nil && err == nil {
		bound, err = bind(asked, before)
	}
	if err != nil {
		return nil, err
	}
	return newListener(asked, bound, log), nil
}

// bind opens a socket at asked.
func bind(asked netip.AddrPort, before *Listener) (*net.TCPListener, error) {
	var config net.ListenConfig
	if before != nil && before.Configured.Port() == asked.Port() && asked.Port() != 0 {
		raw, err := before.listener.SyscallConn()
		if err == nil {
			err = server.SharePort(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on %s for the API beside %s: %w", asked, before.Configured, err)
		}
		config.Control = func(_, _ string, raw syscall.RawConn) error { return server.SharePort(raw) }
	}
	listener, err := config.Listen(context.Background(), server.Network("tcp", asked.Addr()), asked.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s for the API: %w", asked, err)
	}
	return listener.(*net.TCPListener), nil // the network is always tcp
}

func newListener(asked netip.AddrPort, bound *net.TCPListener, log *slog.Logger) *Listener {
	d := &Listener{Configured: asked, listener: bound}
	d.limit = newLimitListener(d.listener, log)
	d.http = &http.Server{
		Handler:           d,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         d.limit.onState,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return d
}

// Sockets returns the socket, for another process. That of nil is none.
func (d *Listener) Sockets() []handover.Open {
	if d == nil {
		return nil
	}
	return []handover.Open{{Use: handover.API, Address: d.Configured, Conns: []syscall.Conn{d.listener}}}
}

// Serve switches to handler, and for new connections to security, and starts answering on the first call.
func (d *Listener) Serve(handler http.Handler, security *Security) {
	d.security.Store(security)
	d.handler.Store(&handler)
	if d.served != nil {
		return
	}
	d.served = make(chan struct{})
	go func() {
		defer close(d.served)
		_ = d.http.Serve(secured{d.limit, d}) // returns when Close closes it
	}()
}

// Close waits up to drainTimeout for running requests. Closing nil is a no-op.
func (d *Listener) Close() {
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if d.http.Shutdown(ctx) != nil {
		d.http.Close()
	}
	d.limit.Close() // http.Server does not know a listener that never served
	if d.served != nil {
		<-d.served
	}
}

// Addr returns the bound address, with the real port if port 0 was configured.
func (d *Listener) Addr() string { return d.listener.Addr().String() }
