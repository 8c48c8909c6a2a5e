package health

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// checksOfOneAddress returns n different checks of one address.
func checksOfOneAddress(n int) []Target {
	var targets []Target
	for i := range n {
		c := tcpCheck()
		c.Port = 80 + i
		targets = append(targets, Target{c, addrs(1)[0]})
	}
	return targets
}

func TestProbesOfOneAddressAreLimited(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		w.become(all[0], hangs)
		crowd := checksOfOneAddress(10)
		watching, _ := watch(t, p, append(crowd, Target{tcpCheck(), all[1]}))
		synctest.Wait()
		began := 0
		for i := range crowd {
			began += len(w.dialledPort(all[0], uint16(80+i)))
		}
		if want := 6; began != want { // 10 checks that take 2 s of 5 s each, plus half
			t.Errorf("%d probes of one address at once, want %d", began, want)
		}
		if s, _ := watching.Status(len(crowd)); s.Verdict != Up {
			t.Errorf("the other address is %v, want up at once", s.Verdict)
		}
		watching.FirstRound(t.Context())
		time.Sleep(time.Minute)
		for i := range crowd {
			if n := len(w.dialledPort(all[0], uint16(80+i))); n < 9 {
				t.Errorf("check %d was probed %d times in a minute, want it probed regularly", i, n)
			}
		}
	})
}

func TestWaitingTargetCanBeDropped(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		w.become(addrs(1)[0], hangs)
		stays, _ := watch(t, p, checksOfOneAddress(8))
		synctest.Wait()
		leaves, _ := watch(t, p, checksOfOneAddress(24)[8:])
		synctest.Wait()
		leaves.Close()
		stays.FirstRound(t.Context())
		stays.Close()
		time.Sleep(time.Minute)
		p.call(func(o *scheduler) {
			if len(o.entries)+len(o.limiters)+len(o.waiting.heap)+o.running > 0 {
				t.Errorf("%d entries, %d lanes, %d waiting, %d running are left", len(o.entries), len(o.limiters), len(o.waiting.heap), o.running)
			}
		})
		began := 0
		for port := uint16(80 + 8); port < 80+24; port++ {
			began += len(w.dialledPort(addrs(1)[0], port))
		}
		if want := 15 - 5; began != want { // of 24 checks that take 2 s of 5 s each, plus half; of 8 of them
			t.Errorf("of those that were closed %d were probed, want the %d that did not wait", began, want)
		}
	})
}

// TestManyChecksOfHangingAddressGoDownInTime stops a host with many checks: all of them are down within the documented time
// of one, and none is uncertain.
func TestManyChecksOfHangingAddressGoDownInTime(t *testing.T) {
	for _, checks := range []int{5, 30, 60, 200} {
		probing(t, func(t *testing.T, w *world, p *Prober) {
			addr, targets := addrs(1)[0], checksOfOneAddress(checks)
			watching, l := watch(t, p, targets)
			watching.FirstRound(t.Context())
			time.Sleep(time.Minute)
			l.take()
			w.become(addr, hangs)
			died := time.Now()
			time.Sleep(2 * time.Minute)
			transitions := l.take()
			c := targets[0].Check
			budget := time.Duration(float64(c.Fall)*(1+jitter)*float64(c.Interval)) + c.Timeout
			for _, transition := range transitions {
				if transition.To != Down || transition.At.Sub(died) > budget {
					t.Errorf("%d checks: %v after %v, want down within %v", checks, transition.To, transition.At.Sub(died), budget)
				}
			}
			if len(transitions) != checks {
				t.Errorf("%d transitions of %d checks", len(transitions), checks)
			}
		})
	}
}

// programs replaces the programs of p's exec checks by run, per address, with at most width at once.
func programs(p *Prober, width int, run func(ctx context.Context, addr netip.Addr) (orphan <-chan struct{})) {
	p.call(func(o *scheduler) {
		o.programs.width = width
		for _, e := range o.entries {
			e.prepared.run = func(ctx context.Context, addr netip.Addr, _ probe.Dial, _ *slog.Logger) (probe.Result, <-chan struct{}) {
				r := probe.Result{Outcome: probe.Passed, Reason: "exit status 0", At: time.Now()}
				ctx, cancel := context.WithTimeout(ctx, e.check().Timeout)
				defer cancel()
				orphan := run(ctx, addr)
				if orphan != nil {
					r.Outcome, r.Reason = probe.Failed, "timeout after 2s while running true, which cannot be killed"
				}
				return r, orphan
			}
		}
	})
}

// watchPrograms watches n addresses by programs replaced by run; the first probes wait until all are watched.
func watchPrograms(t *testing.T, p *Prober, n, width int, run func(ctx context.Context, addr netip.Addr) (orphan <-chan struct{})) (*Watch, *listener) {
	t.Helper()
	p.call(func(o *scheduler) { o.limit = 0 })
	check := &config.Check{Name: "program", Type: config.Exec, Command: []string{"true"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	watching, l := watch(t, p, targetsOf(check, addrs(n)))
	programs(p, width, run)
	p.call(func(o *scheduler) { o.limit = maxProbes })
	return watching, l
}

// TestProgramsAreLimitedWithoutStaleTargets has programs that take half a second: a round of all takes far longer than a
// verdict holds without results.
func TestProgramsAreLimitedWithoutStaleTargets(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		const width, targets = 4, 400
		var running, most, runs atomic.Int64
		watching, l := watchPrograms(t, p, targets, width, func(context.Context, netip.Addr) <-chan struct{} {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			runs.Add(1)
			time.Sleep(500 * time.Millisecond)
			return nil
		})
		watching.FirstRound(t.Context())
		time.Sleep(10 * time.Minute)
		if most.Load() != width {
			t.Errorf("%d programs at once, want %d", most.Load(), width)
		}
		if rounds := runs.Load() / targets; rounds < 12 {
			t.Errorf("%d rounds, want the programs to go one after another", rounds)
		}
		for _, transition := range l.take() {
			if transition.To != Up {
				t.Errorf("%v changed to %v: %s", transition.Target.Addr, transition.To, transition.Reason)
			}
		}
	})
}

// TestUnkillableProgramIsNotRunAgain leaves programs behind at one address, then at as many as may run.
func TestUnkillableProgramIsNotRunAgain(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		const width = 2
		all, end := addrs(4), make(chan struct{})
		stuck := map[netip.Addr]bool{all[0]: true}
		runs := map[netip.Addr]int{}
		var mu sync.Mutex
		watching, l := watchPrograms(t, p, len(all), width, func(ctx context.Context, addr netip.Addr) <-chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			runs[addr]++
			if !stuck[addr] {
				return nil
			}
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			return end
		})
		watching.FirstRound(t.Context())
		time.Sleep(time.Minute)
		mu.Lock()
		if runs[all[0]] != 1 || runs[all[1]] < 10 {
			t.Errorf("%v runs, want one of the first and the others as ever", runs)
		}
		stuck[all[1]] = true
		mu.Unlock()
		s, _ := watching.Status(0)
		if want := "the last probe: timeout after 2s while running true, which cannot be killed"; s.Verdict != Uncertain || !strings.Contains(s.Cause.Reason, want) || !s.Next.IsZero() {
			t.Errorf("%v, %q, next %v; want it uncertain, %s", s.Verdict, s.Cause.Reason, s.Next, want)
		}
		time.Sleep(time.Minute)
		for i := range all {
			if s, _ := watching.Status(i); s.Verdict != Uncertain {
				t.Errorf("%d is %v, want it uncertain while no program can run", i, s.Verdict)
			}
		}
		l.take()
		mu.Lock()
		clear(stuck)
		mu.Unlock()
		close(end)
		time.Sleep(time.Minute)
		for i := range all {
			if s, _ := watching.Status(i); s.Verdict != Up {
				t.Errorf("%d is %v, want it up", i, s.Verdict)
			}
		}
	})
}

// TestUnusedSlotGoesToNextTarget has a program wait for its address, and then, with a slot there, for another program: the
// slot goes to the next in the queue.
func TestUnusedSlotGoesToNextTarget(t *testing.T) {
	program := &config.Check{Name: "program", Type: config.Exec, Command: []string{"true"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	addr, now := addrs(1)[0], time.Now()
	o, w := newIdleScheduler(t, []Target{{program, addr}, {tcpCheck(), addr}})
	first, behind := w.entries[0], w.entries[1]
	for _, e := range w.entries {
		e.prepared.run = func(context.Context, netip.Addr, probe.Dial, *slog.Logger) (probe.Result, <-chan struct{}) {
			return probe.Result{Outcome: probe.Passed, Reason: "passed"}, nil
		}
	}
	o.programs.width = 1
	first.limiter.running = minPerAddress
	first.due, behind.due = now.Add(-time.Minute), now.Add(-time.Second)
	o.launchProbes(now)
	if first.parked != first.limiter || behind.parked != first.limiter {
		t.Fatal("they do not wait for their address")
	}
	o.programs.running = 1 // of another address
	first.limiter.release(now)
	o.startNext(first.limiter, now)
	o.launchProbes(now)
	if first.parked != &o.programs || behind.parked != nil || !behind.probing {
		t.Fatalf("the program waits in %p, the other in %p, probing %v; want it to have the place", first.parked, behind.parked, behind.probing)
	}
	<-o.reports
}
