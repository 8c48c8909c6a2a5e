package health

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/health/probe"
)

func TestDeadEndpointGoesDownInTimeAndRecovers(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check := tcpCheck()
		addr := addrs(1)[0]
		_, l := watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(time.Minute)
		wantTransitions(t, l.take(), "0 unknown->up: connected")

		w.become(addr, hangs)
		died, before := time.Now(), len(w.dialled(addr))
		time.Sleep(time.Minute)
		transitions := l.take()
		wantTransitions(t, transitions, "0 up->down: timeout after 2s while connecting")
		budget := time.Duration(float64(check.Fall)*(1+jitter)*float64(check.Interval)) + check.Timeout
		if took := transitions[0].At.Sub(died); took > budget {
			t.Errorf("down %v after its death, want at most %v", took, budget)
		}
		if failed := probesUntil(w.dialled(addr)[before:], transitions[0].At); failed != check.Fall {
			t.Errorf("down after %d failures, want %d", failed, check.Fall)
		}
		if transitions[0].Latency != check.Timeout {
			t.Errorf("latency %v, want the timeout", transitions[0].Latency)
		}

		w.become(addr, accepts)
		before = len(w.dialled(addr))
		time.Sleep(time.Minute)
		transitions = l.take()
		wantTransitions(t, transitions, "0 down->up: connected")
		if passed := probesUntil(w.dialled(addr)[before:], transitions[0].At); passed != check.Rise {
			t.Errorf("up after %d successes, want %d", passed, check.Rise)
		}
	})
}

func probesUntil(began []time.Time, at time.Time) int {
	n := 0
	for _, b := range began {
		if !b.After(at) {
			n++
		}
	}
	return n
}

// wantTransitions compares transitions as lines "index from->to: reason".
func wantTransitions(t *testing.T, transitions []Transition, want ...string) {
	t.Helper()
	var got []string
	for _, transition := range transitions {
		damped := ""
		if transition.Damped {
			damped = ", damped"
		}
		got = append(got, fmt.Sprintf("%d %v->%v%s: %s", transition.Index, transition.From, transition.To, damped, transition.Reason))
	}
	if !slices.Equal(got, want) {
		t.Errorf("transitions:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestProbesKeepIntervalWithinJitter(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, addr := tcpCheck(), addrs(1)[0]
		w.become(addr, after(time.Second, accepts)) // the interval is from start to start
		watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(2000 * check.Interval)
		began := w.dialled(addr)
		var sum float64
		for i := 2; i < len(began); i++ { // the first gap is random
			part := float64(began[i].Sub(began[i-1])) / float64(check.Interval)
			if part < 1-jitter || part > 1+jitter {
				t.Fatalf("gap %d is %.3f intervals", i, part)
			}
			sum += math.Abs(part - 1)
		}
		if mean := sum / float64(len(began)-2); mean < 0.04 || mean > 0.06 {
			t.Errorf("gaps stray by %.3f intervals on average, want about %.2f", mean, jitter/2)
		}
	})
}

func TestFirstRoundIsImmediateAndSecondIsSpread(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, all := tcpCheck(), addrs(2000)
		start := time.Now()
		watch(t, p, targetsOf(check, all))
		time.Sleep(check.Interval + time.Second)
		var tenths [10]int
		for _, a := range all {
			began := w.dialled(a)
			if !began[0].Equal(start) {
				t.Fatalf("%v was first probed after %v", a, began[0].Sub(start))
			}
			tenths[min(9, 10*began[1].Sub(start)/check.Interval)]++
		}
		for i, n := range tenths {
			if n < 130 || n > 270 { // 200 expected, standard deviation 13
				t.Errorf("%d of 2000 second probes in tenth %d of the interval, want about 200: %v", n, i, tenths)
			}
		}
	})
}

func TestProbesOfTargetDoNotOverlap(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.Timeout = check.Interval
		w.become(addr, hangs)
		watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(100 * check.Interval)
		if n := len(w.dialled(addr)); n < 90 || n > 101 {
			t.Errorf("%d probes in 100 intervals, want nearly 100", n)
		}
	}) // which also looks for overlaps
}

func TestHangingEndpointsDoNotDelayOthers(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		p.call(func(o *scheduler) { o.limit = maxProbes }) // independent of the file limit here
		check, all := tcpCheck(), addrs(10_000)
		for _, a := range all[100:] {
			w.become(a, hangs)
		}
		before := runtime.NumGoroutine()
		watch(t, p, targetsOf(check, all))
		time.Sleep(time.Second)
		if n := runtime.NumGoroutine() - before; n > 2*maxProbes {
			t.Errorf("%d goroutines for %d probes", n, maxProbes)
		}
		time.Sleep(15 * time.Second)
		if most := w.mostAtOnce(); most > maxProbes {
			t.Errorf("%d probes at once, want at most %d", most, maxProbes)
		}
		began := w.dialled(all[0])
		if n := len(began); n < 3 {
			t.Errorf("a healthy endpoint was probed %d times in 16 s, want 3 to 5", n)
		}
	})
}

func TestPanicInCheckFailsProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, book := newWorld(), &logBook{}
		p := NewProber(Options{Dial: w.dial, Logger: book.logger()})
		ctx, stop := context.WithCancel(t.Context())
		go p.Run(ctx)
		w.become(addrs(1)[0], panics)
		_, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		wantTransitions(t, l.take(), "0 unknown->down: panic while connecting: wires crossed")
		stop()
		<-p.stopped
		if line := book.lines()[0]; !strings.Contains(line, "check panicked") || !strings.Contains(line, "world_test.go") {
			t.Errorf("logged %q, want the stack", line)
		}
	})
}

func TestFileLimitIsInconclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, book := newWorld(), &logBook{}
		p := NewProber(Options{Dial: w.dial, Logger: book.logger()})
		ctx, stop := context.WithCancel(t.Context())
		go p.Run(ctx)
		all := addrs(2)
		w.become(all[1], lacksFiles)
		watching, l := watch(t, p, targetsOf(tcpCheck(), all))
		synctest.Wait()
		w.become(all[0], lacksFiles)
		time.Sleep(90 * time.Second)
		wantTransitions(t, l.take(), "0 unknown->up: connected",
			"0 up->uncertain: no conclusive result for 18s; the last probe: this machine cannot probe: too many open files")
		s, _ := watching.Status(1)
		if s.Verdict != Unknown || s.Last[0].Outcome != probe.Inconclusive || s.Last[0].Reason != "this machine cannot probe: too many open files" {
			t.Errorf("status %+v, want unknown, for want of files", s)
		}
		stop()
		<-p.stopped
		const line = `level=ERROR msg="probes inconclusive, health states stay as they are" check=web address=10.0.0.1 reason="this machine cannot probe: too many open files"`
		if found := linesWith(book, "probes inconclusive"); len(found) != 1 || found[0] != line {
			t.Errorf("logged\n%s\nwant once\n%s", strings.Join(found, "\n"), line)
		}
	})
}

func TestStateChangesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, book := newWorld(), &logBook{}
		p := NewProber(Options{Dial: w.dial, Logger: book.logger()})
		ctx, stop := context.WithCancel(t.Context())
		go p.Run(ctx)
		watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		w.become(addrs(1)[0], refuses)
		time.Sleep(time.Minute)
		stop()
		<-p.stopped
		want := []string{
			`level=INFO msg="health state changed" check=web address=10.0.0.0 from=unknown to=up reason=connected latency=0s last="1 passed"`,
			`level=WARN msg="health state changed" check=web address=10.0.0.0 from=up to=down reason="connection refused" latency=0s last="3 failed, 1 passed"`,
		}
		if got := book.lines(); !slices.Equal(got, want) {
			t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestStopEndsProbesWithoutStateChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := NewProber(Options{Dial: w.dial, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		go p.Run(ctx)
		w.become(addrs(1)[0], hangs)
		watching, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		start := time.Now()
		stop()
		<-p.stopped
		if waited := time.Since(start); waited > 0 {
			t.Errorf("stopping took %v, want the probe cut short", waited)
		}
		wantTransitions(t, l.take())

		if n := watching.FirstRound(t.Context()); n != 1 {
			t.Errorf("first round after the end: %d unknown, want 1", n)
		}
		if _, ok := watching.Status(0); ok {
			t.Error("status after the end")
		}
		watching.Close()
		if _, err := p.Watch(nil, l.record); err == nil || !strings.Contains(err.Error(), "prober is stopped") {
			t.Errorf("watching after the end: %v", err)
		}
	})
}
