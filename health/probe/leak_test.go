package probe

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
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
	var stops []func()
	for _, e := range bad {
		plain, secure := httpCheck(e), httpsCheck(e, a.file)
		connect := *tcpCheck()
		connect.Port = int(e.Port())
		checks := []config.Check{plain, secure, connect, http2Check(e), tlsCheck(e, a.file), grpcCheck(e)}
		for i := range checks {
			checks[i].Interval, checks[i].Timeout = 100*time.Millisecond, 50*time.Millisecond
		}
		_, stop := repeat(t, e.Addr(), checks...)
		stops = append(stops, stop)
	}
	for bad[0].connections() < 18 { // three rounds
		runtime.Gosched()
	}
	for _, stop := range stops {
		stop()
	}
	// The handlers end only because the probes closed their connections.
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// repeat probes addr by each of the checks, once in each interval, until stop is called, which cancels the probes and
// waits for all of them. probes counts those that have ended.
func repeat(t *testing.T, addr netip.Addr, checks ...config.Check) (probes func() int, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended atomic.Int64
	var running sync.WaitGroup
	for i := range checks {
		c, flaws := New(&checks[i])
		if len(flaws) > 0 {
			t.Fatal(flaws)
		}
		running.Go(func() {
			for tick := time.NewTicker(checks[i].Interval); ; ended.Add(1) {
				_, left := c.Probe(ctx, addr, SystemDial, slog.New(slog.DiscardHandler))
				if left != nil {
					<-left
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	return func() int { return int(ended.Load()) }, func() { cancel(); running.Wait() }
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
