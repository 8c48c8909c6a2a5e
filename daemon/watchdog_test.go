package daemon

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health"
)

// TestWatchdogIsFedOnlyWhileTheProberWorks blocks the prober for a minute and counts the notifications.
func TestWatchdogIsFedOnlyWhileTheProberWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := func(context.Context, netip.Addr, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		p := health.NewProber(health.Options{Dial: refused})
		ctx, cancel := context.WithCancel(t.Context())
		ran, done, fed := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() { defer close(ran); p.Run(ctx) }()
		check := &config.Check{Name: "web", Type: config.TCPConnect, Port: 80, Interval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
		target := health.Target{Check: check, Addr: netip.MustParseAddr("192.0.2.1")}
		var blocked atomic.Bool
		if _, err := p.Watch([]health.Target{target}, func([]health.Transition) {
			if !blocked.Swap(true) {
				time.Sleep(time.Minute)
			}
		}); err != nil {
			t.Fatal(err)
		}
		var notified atomic.Int64
		l := &instance{prober: p, Daemon: &Daemon{Watchdog: 3 * time.Second, Notify: func(state string) {
			if state == NotifyWatchdog {
				notified.Add(1)
			}
		}}}
		go func() { defer close(fed); l.feedWatchdog(done) }()
		during := func(d time.Duration) int64 {
			before := notified.Load()
			time.Sleep(d)
			return notified.Load() - before
		}
		if n := during(5 * time.Second); n < 4 {
			t.Errorf("%d notifications in the first 5 s, want one a second", n)
		}
		time.Sleep(10 * time.Second)
		if n := during(40 * time.Second); n != 0 || !blocked.Load() {
			t.Errorf("%d notifications while the prober is stalled (%v), want none", n, blocked.Load())
		}
		time.Sleep(10 * time.Second)
		if n := during(10 * time.Second); n < 9 {
			t.Errorf("%d notifications in 10 s after the stall, want one a second", n)
		}
		close(done)
		<-fed
		cancel()
		<-ran
	})
}
