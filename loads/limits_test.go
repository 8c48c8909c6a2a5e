package loads

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// stalledAddr returns the i-th address at which connections hang.
func stalledAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

// stallAddresses makes connections to the addresses of hangingAddr hang until their poll ends.
func (w *testPoller) stallAddresses() {
	dial := w.dial
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "10.") {
			<-ctx.Done()
			return nil, errors.New("timeout")
		}
		return dial(ctx, network, address)
	}
}

func briefSource() *config.LoadSource {
	s := nginxSource()
	s.Interval, s.Timeout, s.Stale = 500*time.Millisecond, 200*time.Millisecond, 1500*time.Millisecond
	return s
}

// Reports stay fresh with any number of stalled targets, from the first round on.
func TestStalledTargetsDoNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stallAddresses()
		w.answer(connections(5))
		const hanging, healthy = 2000, 20
		var targets []Target
		for i := range hanging {
			targets = append(targets, Target{briefSource(), stalledAddr(i)})
		}
		first := addr
		for range healthy {
			targets, first = append(targets, Target{briefSource(), first}), first.Next()
		}
		f, err := w.Follow(targets)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		time.Sleep(2 * time.Second) // 2000 new targets, in groups of 128 for 100 ms each
		for range 40 {
			time.Sleep(100 * time.Millisecond)
			for i, s := range f.Status()[hanging:] {
				if age := time.Since(s.At); !s.Fresh || age > time.Second {
					t.Fatalf("healthy target %d: %+v, report %s old", i, s, age)
				}
			}
		}
	})
}

// A target that reports again is polled in turn with the stalled targets.
func TestRecoveringTargetIsPolledAmongStalledOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stallAddresses()
		var targets []Target
		for i := range 1000 {
			targets = append(targets, Target{briefSource(), stalledAddr(i)})
		}
		f, err := w.Follow(append(targets, Target{briefSource(), addr}))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		time.Sleep(5 * time.Second)
		w.answer(connections(5))
		time.Sleep(briefSource().Interval + 1000/maxSlow*briefSource().Timeout + briefSource().Timeout)
		if s := f.Status()[1000]; !s.Fresh {
			t.Errorf("%+v", s)
		}
	})
}

// Concurrent polls are limited, and end with their timeout.
func TestConcurrentPollsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var running atomic.Int64
		w.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var targets []Target
		for i := range 3000 {
			targets = append(targets, Target{briefSource(), stalledAddr(i)})
		}
		f, err := w.Follow(targets)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		most := func() (most int64) {
			for range 100 {
				time.Sleep(30 * time.Millisecond)
				synctest.Wait()
				most = max(most, running.Load())
			}
			return most
		}
		if got, bound := most(), int64(maxSlow+maxPrompt*briefSource().Timeout/promptTime); got > bound {
			t.Errorf("%d polls at once, want at most %d", got, bound)
		}
		if got := most(); got != maxSlow {
			t.Errorf("%d polls at once when all targets are slow, want %d", got, maxSlow)
		}
	})
}

// A report becomes stale by its age, even while the target's next poll hangs or waits.
func TestReportBecomesStaleWhileAPollHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		source := nginxSource()
		source.Timeout, source.Stale = time.Minute, 2*time.Second
		w.answer(connections(7))
		f := follow(t, w, Target{source, addr})
		<-w.Changes()
		at := f.Status()[0].At
		w.answer(func(net.Conn) {}) // reads nothing, and never closes
		time.Sleep(time.Until(at.Add(source.Stale - 1)))
		if s := f.Status()[0]; !s.Fresh {
			t.Errorf("just before: %+v", s)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := f.Status()[0]; s.Fresh || !s.At.Equal(at) {
			t.Errorf("afterwards: %+v", s)
		}
		select {
		case <-w.Changes():
		default:
			t.Error("no change is announced")
		}
		if n := w.log.count("load report is stale"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
	})
}
