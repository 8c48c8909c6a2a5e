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
	doorHeader = 16 << 10         // octets of a request's head
	doorRead   = 10 * time.Second // for a whole request
	doorWrite  = time.Minute      // for a whole answer
	doorIdle   = time.Minute      // between two requests
	doorDrain  = time.Second      // for answers under way when it closes
)

// door is where the API listens. The goroutine of Run uses it.
type door struct {
	asked    netip.AddrPort // as configured
	listener *net.TCPListener
	limit    *limitListener // on listener
	http     *http.Server
	handler  atomic.Pointer[http.Handler]
	served   chan struct{} // closed when http serves no more; nil: it never did
}

// openDoor binds asked, on a port that before may hold until it is closed; serve
// begins to answer. before is nil where there was none.
func openDoor(asked netip.AddrPort, before *door, log *slog.Logger) (*door, error) {
	var config net.ListenConfig
	if before != nil && before.asked.Port() == asked.Port() && asked.Port() != 0 {
		raw, err := before.listener.SyscallConn()
		if err == nil {
			err = sharePort(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on %s for the API beside %s: %w", asked, before.asked, err)
		}
		config.Control = func(_, _ string, raw syscall.RawConn) error { return sharePort(raw) }
	}
	listener, err := config.Listen(context.Background(), network("tcp", asked.Addr()), asked.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s for the API: %w", asked, err)
	}
	d := &door{asked: asked, listener: listener.(*net.TCPListener)} // it is for networks of tcp
	d.limit = newLimitListener(d.listener, log)
	d.http = &http.Server{
		Handler:           d,
		ReadHeaderTimeout: doorRead,
		ReadTimeout:       doorRead,
		WriteTimeout:      doorWrite,
		IdleTimeout:       doorIdle,
		MaxHeaderBytes:    doorHeader,
		ConnState:         d.limit.onState,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return d, nil
}

// serve answers by handler from now on.
func (d *door) serve(handler http.Handler) {
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
func (d *door) close() {
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), doorDrain)
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
func (d *door) addr() string { return d.listener.Addr().String() }
