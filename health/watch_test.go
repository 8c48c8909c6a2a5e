package health

import (
	"context"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

func TestFirstRoundWaitsForEveryVerdict(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(3)
		w.become(all[1], hangs)
		w.become(all[2], after(time.Second, refuses))
		watching, l := watch(t, p, targetsOf(tcpCheck(), all))
		start := time.Now()
		if unknown := watching.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("%d unknown, want 0", unknown)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want the timeout of the slowest", took)
		}
		wantTransitions(t, l.take(), // all of them, before FirstRound returned
			"0 unknown->up: connected",
			"2 unknown->down: connection refused",
			"1 unknown->down: timeout after 2s while connecting")
	})
}

func TestFirstRoundEndsWithContext(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(3)
		w.become(all[1], hangs)
		w.become(all[2], hangs)
		watching, _ := watch(t, p, targetsOf(tcpCheck(), all))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if unknown := watching.FirstRound(ctx); unknown != 2 {
			t.Errorf("%d unknown, want 2", unknown)
		}
	})
}

func TestEmptyWatchHasNoFirstRound(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		watching, l := watch(t, p, nil)
		if unknown := watching.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("%d unknown, want 0", unknown)
		}
		wantTransitions(t, l.take())
	})
}

func TestReloadKeepsVerdictsOfUnchangedChecks(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		w.become(all[0], refuses)
		old, oldTurns := watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		oldTurns.take()
		probed := len(w.dialled(all[0]))
		began := time.Now()

		renamed := tcpCheck()
		renamed.Name, renamed.Pos = "site", config.Pos{Line: 7, Column: 3}
		other := tcpCheck()
		other.Name, other.Port = "other", 81
		w.become(all[0], after(time.Second, refuses)) // so that their verdicts are not known yet
		fresh, transitions := watch(t, p, []Target{{other, all[0]}, {renamed, all[1]}, {renamed, all[0]}})
		known := transitions.take() // delivered before Watch returned
		wantTransitions(t, known, "1 unknown->up: connected", "2 unknown->down: connection refused")
		if known[0].Target.Check != renamed || !known[1].At.Before(began) {
			t.Errorf("known verdicts %+v, want them of the new check and the old time", known)
		}
		synctest.Wait()
		same, changed := len(w.dialled(all[0]))-probed, len(w.dialledPort(all[0], 81))
		if same != 0 || changed != 1 {
			t.Errorf("%d probes by the same check and %d by the changed one at once, want 0 and 1", same, changed)
		}
		time.Sleep(1100 * time.Millisecond)
		wantTransitions(t, transitions.take(), "0 unknown->down: connection refused")
		if unknown := fresh.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("%d unknown, want 0", unknown)
		}

		old.Close()
		w.become(all[1], refuses)
		time.Sleep(time.Minute)
		wantTransitions(t, oldTurns.take())
		wantTransitions(t, transitions.take(), "1 up->down: connection refused")
	})
}

func TestEqualChecksAreProbedOnce(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		a, b := tcpCheck(), tcpCheck()
		b.Name = "again"
		addr := addrs(1)[0]
		mapped := netip.AddrFrom16(addr.As16())
		watching, l := watch(t, p, []Target{{a, addr}, {b, addr}, {b, mapped}})
		synctest.Wait()
		wantTransitions(t, l.take(), "0 unknown->up: connected", "1 unknown->up: connected", "2 unknown->up: connected")
		if n := len(w.dialled(addr)); n != 1 {
			t.Errorf("%d probes, want 1", n)
		}
		watching.Close()
	})
}

func TestClosedWatchIsDropped(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		addr := addrs(1)[0]
		watching, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		l.take()
		watching.Close()
		watching.Close()
		probed := len(w.dialled(addr))
		time.Sleep(time.Minute)
		if n := len(w.dialled(addr)); n != probed {
			t.Errorf("%d probes after Close", n-probed)
		}
		if _, ok := watching.Status(0); ok {
			t.Error("status of a closed watch")
		}

		w.become(addr, after(time.Second, refuses))
		_, l = watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		wantTransitions(t, l.take()) // the target was dropped
		time.Sleep(1100 * time.Millisecond)
		wantTransitions(t, l.take(), "0 unknown->down: connection refused")
	})
}

func TestRewatchedTargetIsNotProbedTwiceAtOnce(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		addr := addrs(1)[0]
		w.become(addr, hangs)
		first, _ := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		time.Sleep(time.Second)
		first.Close()
		_, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		if n := len(w.dialled(addr)); n != 1 {
			t.Errorf("%d probes, want the first to serve both", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantTransitions(t, l.take(), "0 unknown->down: timeout after 2s while connecting")
	})
}

func TestUnwatchedTargetIsDroppedWhenProbeEnds(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		w.become(addrs(1)[0], hangs)
		first, _ := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		time.Sleep(time.Second)
		first.Close()
		time.Sleep(time.Minute)
		left := -1
		p.call(func(o *scheduler) { left = len(o.entries) + len(o.waiting.heap) + o.running })
		if left != 0 {
			t.Errorf("%d entries left, want none", left)
		}
	})
}

func TestCloseWaitsForRunningCallback(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		var inside, closed atomic.Bool
		watching, err := p.Watch(targetsOf(tcpCheck(), addrs(50)), func([]Transition) {
			inside.Store(true)
			time.Sleep(callTimeout / 2) // slow, against the contract
			if closed.Load() {
				t.Error("the callback was running after Close had returned")
			}
			inside.Store(false)
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !inside.Load() {
			t.Fatal("the callback is not running")
		}
		watching.Close()
		closed.Store(true)
		time.Sleep(time.Hour)
	})
}

// TestStalledSchedulerBlocksNoCaller verifies that calls return without a result, and that a closed watch gets no
// notifications and is dropped when the scheduler recovers.
func TestStalledSchedulerBlocksNoCaller(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		release, notified := make(chan struct{}), 0
		watching, err := p.Watch(targetsOf(tcpCheck(), addrs(1)), func([]Transition) {
			notified++
			<-release
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		if _, ok := watching.Status(0); ok || p.Save() != nil {
			t.Error("a stalled scheduler returned a status")
		}
		if _, ok := watching.ClearAll([]int{0}); ok {
			t.Error("a stalled scheduler cleared a hold")
		}
		if _, err := p.Watch(targetsOf(tcpCheck(), addrs(2)), func([]Transition) { t.Error("notified of a rejected watch") }); err == nil {
			t.Error("a watch that the scheduler does not know")
		}
		watching.Close()
		if took := time.Since(began); took != 5*callTimeout {
			t.Errorf("it took %v", took)
		}
		close(release)
		time.Sleep(time.Hour)
		if notified != 1 {
			t.Errorf("notified %d times", notified)
		}
	})
}

func TestStatusShowsVerdictCauseAndHistory(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		addr := addrs(1)[0]
		w.become(addr, after(time.Millisecond, accepts))
		watching, _ := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		if s, ok := watching.Status(0); !ok || s.Verdict != Unknown || !s.Since.IsZero() || len(s.Last) > 0 || !s.Next.IsZero() {
			t.Errorf("during the first probe: %+v", s)
		}
		time.Sleep(time.Minute)
		w.become(addr, refuses)
		time.Sleep(time.Minute)
		s, _ := watching.Status(0)
		if s.Verdict != Down || s.Cause.Reason != "connection refused" || s.Streak < 3 || len(s.Last) != historySize {
			t.Errorf("after a minute of refusals: %+v", s)
		}
		if age := time.Since(s.Since); age < 40*time.Second || age > time.Minute {
			t.Errorf("down for %v, want 40 s to a minute", age)
		}
		if wait := time.Until(s.Next); wait < 0 || wait > 6*time.Second {
			t.Errorf("next probe in %v", wait)
		}
		if age := time.Since(s.Last[0].At); age > 6*time.Second || s.Last[0].Outcome != probe.Failed {
			t.Errorf("newest result %+v", s.Last[0])
		}
	})
}

func TestWatchRejectsInvalidTargets(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		secure := tcpCheck()
		secure.TLS.CA = "testdata/none.pem"
		for want, targets := range map[string][]Target{
			"no check or no address":                   {{nil, addrs(1)[0]}},
			"target 1 has no":                          {{tcpCheck(), addrs(1)[0]}, {tcpCheck(), netip.Addr{}}},
			`checks.web.tls.ca: cannot read "testdata`: {{secure, addrs(1)[0]}},
		} {
			if _, err := p.Watch(targets, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", targets, err, want)
			}
		}
	})
}

// TestEveryFieldIsPartOfFingerprint changes one field after another.
func TestEveryFieldIsPartOfFingerprint(t *testing.T) {
	apart := map[string]bool{"Name": true, "Base": true, "Parts": true, "Pos": true, "CAPos": true, "CertPos": true, "CommandPos": true}
	plain := fingerprintOf(&config.Check{}, [32]byte{})
	var walk func(c *config.Check, v reflect.Value)
	walk = func(c *config.Check, v reflect.Value) {
		for i := range v.NumField() {
			name, f := v.Type().Field(i).Name, v.Field(i)
			if f.Type() == reflect.TypeFor[config.CheckTLS]() || f.Type() == reflect.TypeFor[config.FlapDamping]() || f.Type() == reflect.TypeFor[config.IdleProbing]() || f.Type() == reflect.TypeFor[config.Quorum]() {
				walk(c, f)
				continue
			}
			f.Set(sample(t, f.Type()))
			if changed := fingerprintOf(c, [32]byte{}) != plain; changed == apart[name] {
				t.Errorf("%s: a change of it makes another definition: %v, want %v", name, changed, !changed)
			}
			f.SetZero()
		}
	}
	c := &config.Check{}
	walk(c, reflect.ValueOf(c).Elem())
	if fingerprintOf(&config.Check{}, [32]byte{1}) == plain {
		t.Error("files with other contents make the same definition")
	}
}

func TestEqualChecksOfTwoLoadsHaveEqualFingerprints(t *testing.T) {
	load := func() *config.Check {
		c := tcpCheck()
		c.Body, c.Expect = regexp.MustCompile("ok"), regexp.MustCompile("^220 ")
		c.Headers = []config.Header{{Name: "A", Value: "b"}}
		return c
	}
	first, second := load(), load()
	if fingerprintOf(first, [32]byte{}) != fingerprintOf(second, [32]byte{}) {
		t.Error("two definitions")
	}
}

// sample returns a non-zero value of a type.
func sample(t *testing.T, of reflect.Type) reflect.Value {
	t.Helper()
	switch v := reflect.New(of).Elem(); of.Kind() {
	case reflect.String:
		v.SetString("x")
		return v
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
		return v
	case reflect.Uint16:
		v.SetUint(7)
		return v
	case reflect.Bool:
		v.SetBool(true)
		return v
	case reflect.Slice:
		return reflect.MakeSlice(of, 1, 1)
	case reflect.Struct:
		return reflect.ValueOf(config.Pos{Line: 3}).Convert(of)
	case reflect.Pointer:
		return reflect.ValueOf(regexp.MustCompile("x")).Convert(of)
	}
	t.Fatalf("no sample of %v: give define and this test one", of)
	panic("unreachable")
}
