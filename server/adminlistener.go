package server

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
)

// Limits on the resources that one API client can hold.
const (
	adminMaxHeader    = 16 << 10         // bytes of a request's header
	adminReadTimeout  = 10 * time.Second // for a whole request
	adminWriteTimeout = time.Minute      // for a whole answer
	adminIdleTimeout  = time.Minute      // between two requests
	adminDrainTimeout = time.Second      // for running requests at close
)

// adminListener is the listener of the API. Only the goroutine of Run uses it.
type adminListener struct {
	configured netip.AddrPort // as configured
	listener   *net.TCPListener
	limit      *limitListener // on listener
	http       *http.Server
	handler    atomic.Pointer[http.Handler]
	served     chan struct{} // closed when http stops serving; nil: it never served
}

// openAdmin binds asked. The port may still be held by before until that is closed; before is nil
// if there is none. serve starts answering.
func openAdmin(asked netip.AddrPort, before *adminListener, log *slog.Logger) (*adminListener, error) {
	var config net.ListenConfig
	if before != nil && before.configured.Port() == asked.Port() && asked.Port() != 0 {
		raw, err := before.listener.SyscallConn()
		if err == nil {
			err = sharePort(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on %s for the API beside %s: %w", asked, before.configured, err)
		}
		config.Control = func(_, _ string, raw syscall.RawConn) error { return sharePort(raw) }
	}
	listener, err := config.Listen(context.Background(), network("tcp", asked.Addr()), asked.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s for the API: %w", asked, err)
	}
	d := &adminListener{configured: asked, listener: listener.(*net.TCPListener)} // the network is always tcp
	d.limit = newLimitListener(d.listener, log)
	d.http = &http.Server{
		Handler:           d,
		ReadHeaderTimeout: adminReadTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    adminMaxHeader,
		ConnState:         d.limit.onState,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return d, nil
}

// serve switches to handler and starts answering on the first call.
func (d *adminListener) serve(handler http.Handler) {
	d.handler.Store(&handler)
	if d.served != nil {
		return
	}
	d.served = make(chan struct{})
	go func() {
		defer close(d.served)
		_ = d.http.Serve(d.limit) // returns when close closes it
	}()
}

// close waits up to adminDrainTimeout for running requests. Closing nil is a no-op.
func (d *adminListener) close() {
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminDrainTimeout)
	defer cancel()
	if d.http.Shutdown(ctx) != nil {
		d.http.Close()
	}
	d.limit.Close() // http.Server does not know a listener that never served
	if d.served != nil {
		<-d.served
	}
}

// addr returns the bound address, with the real port if port 0 was configured.
func (d *adminListener) addr() string { return d.listener.Addr().String() }
