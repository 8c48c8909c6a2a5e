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

// Bounds of what one client of the API can hold.
const (
	adminHeaderTimeout = 16 << 10         // octets of a request's head
	adminReadTimeout   = 10 * time.Second // for a whole request
	adminWriteTimeout  = time.Minute      // for a whole answer
	adminIdleTimeout   = time.Minute      // between two requests
	adminDrainTimeout  = time.Second      // for answers under way when it closes
)

// adminListener is where the API listens. The goroutine of Run uses it.
type adminListener struct {
	configured netip.AddrPort // as configured
	listener   *net.TCPListener
	limit      *limitListener // on listener
	http       *http.Server
	handler    atomic.Pointer[http.Handler]
	served     chan struct{} // closed when http serves no more; nil: it never did
}

// openAdmin binds asked, on a port that before may hold until it is closed; serve
// begins to answer. before is nil where there was none.
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
	d := &adminListener{configured: asked, listener: listener.(*net.TCPListener)} // it is for networks of tcp
	d.limit = newLimitListener(d.listener, log)
	d.http = &http.Server{
		Handler:           d,
		ReadHeaderTimeout: adminReadTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    adminHeaderTimeout,
		ConnState:         d.limit.onState,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return d, nil
}

// serve answers by handler from now on.
func (d *adminListener) serve(handler http.Handler) {
	d.handler.Store(&handler)
	if d.served != nil {
		return
	}
	d.served = make(chan struct{})
	go func() {
		defer close(d.served)
		_ = d.http.Serve(d.limit) // it ends when close says so
	}()
}

// close lets answers under way end, for doorDrain at most. A nil door is closed.
func (d *adminListener) close() {
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminDrainTimeout)
	defer cancel()
	if d.http.Shutdown(ctx) != nil {
		d.http.Close()
	}
	d.limit.Close() // one that never served is not the http.Server's
	if d.served != nil {
		<-d.served
	}
}

// addr is where it listens, with the real port where 0 was asked.
func (d *adminListener) addr() string { return d.listener.Addr().String() }
