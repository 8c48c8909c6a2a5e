package health

import (
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"meridian/config"
)

// TestProbesOfBadEndpointsLeaveNothingBehind probes every kind of bad endpoint for a while: the probe closes each
// connection, and all goroutines end.
func TestProbesOfBadEndpointsLeaveNothingBehind(t *testing.T) {
	a := newAuthority(t)
	goodbye := func(handle func(net.Conn)) func(net.Conn) {
		return then(handle, func(conn net.Conn) { io.Copy(io.Discard, conn) }) // ends only when the probe closes
	}
	good := a.issue(t, nil)
	bad := []*endpoint{
		serve(t, silent),
		serve(t, goodbye(drips("HTTP/1.1 200 OK\r\n\r\n"))),
		serve(t, goodbye(endless("HTTP/1.1 200 OK\r\n\r\n"))),
		serve(t, goodbye(says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))),
		serve(t, goodbye(over(good, silent))),
		serve(t, goodbye(over(good, drips("x")))),
		serve(t, resets),
	}
	before := runtime.NumGoroutine()
	p := NewProber(Options{Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	go p.Run(ctx)
	var targets []Target
	for _, e := range bad {
		plain, secure := httpCheck(e), httpsCheck(e, a.file)
		connect := *tcpCheck()
		connect.Port = int(e.Port())
		multiplexed, alone, call := http2Check(e), tlsCheck(e, a.file), grpcCheck(e)
		for _, c := range []config.Check{plain, secure, connect, multiplexed, alone, call} {
			c.Interval, c.Timeout = 100*time.Millisecond, 50*time.Millisecond
			targets = append(targets, Target{&c, e.Addr()})
		}
	}
	w, err := p.Watch(targets, func([]Transition) {})
	if err != nil {
		t.Fatal(err)
	}
	if unknown := w.FirstRound(t.Context()); unknown > 0 {
		t.Errorf("%d targets have no verdict", unknown)
	}
	for bad[0].connections() < 18 { // three rounds
		runtime.Gosched()
	}
	stop()
	<-p.stopped
	// The handlers end only because the probes closed their connections.
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// waitFor waits up to a minute until cond is true.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waiting in vain for %s", what)
		}
	}
}
