package health

import (
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// restored returns the saved state of a prober, after a round trip through JSON.
func restored(t *testing.T, p *Prober) []SavedTarget {
	t.Helper()
	text, err := json.Marshal(p.Save())
	if err != nil {
		t.Fatal(err)
	}
	var all []SavedTarget
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSavedVerdictsApplyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		all := addrs(2)
		w.become(all[1], refuses)
		old, _ := watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		before, _ := old.Status(1)
		saved := restored(t, p)
		end()
		time.Sleep(3 * time.Second) // a restart

		w, p, _, end = logged(t, saved)
		defer end()
		w.become(all[0], hangs)
		w.become(all[1], hangs)
		watching, l := watch(t, p, targetsOf(tcpCheck(), all))
		transitions := l.take() // before Watch returned
		wantTransitions(t, transitions, "0 unknown->up: connected", "1 unknown->down: connection refused")
		if n := watching.FirstRound(t.Context()); n != 0 {
			t.Errorf("%d unknown, want the saved verdicts to suffice", n)
		}
		s, _ := watching.Status(1)
		if !s.Since.Equal(before.Since) || s.Streak != before.Streak {
			t.Errorf("since %v, streak %d; want %v, %d as before", s.Since, s.Streak, before.Since, before.Streak)
		}
		time.Sleep(time.Minute)
		wantTransitions(t, l.take(), "0 up->down: timeout after 2s while connecting")
	})
}

func TestRestoredTargetsAreNotProbedAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const targets = 1000
		all := addrs(targets)
		_, p, _, end := logged(t, nil)
		watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		saved := restored(t, p)
		end()
		time.Sleep(11 * time.Second) // nearly as long as a verdict holds without results

		w, p, book, end := logged(t, saved)
		defer end()
		watch(t, p, targetsOf(tcpCheck(), all))
		var began []int
		for range 5 {
			time.Sleep(time.Second)
			n := 0
			for _, addr := range all {
				n += len(w.dialled(addr))
			}
			began = append(began, n)
		}
		for i, n := range began {
			if want := targets * (i + 1) / 5; n < want-100 || n > want+100 && i < 4 { // six standard deviations, and more
				t.Errorf("probes after 1 to 5 s: %v, want them spread over the interval", began)
			}
		}
		if lines := book.lines(); lines[0] != "" {
			t.Errorf("logged %q, want no verdict to be uncertain meanwhile", lines[:1])
		}
	})
}

func TestHoldsSurviveRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.Rise, check.Fall, check.Failback = 1, 1, config.ManualFailback
		check.FlapDamping = config.FlapDamping{Turns: 2, Window: time.Hour, Hold: time.Hour, Max: time.Hour}
		w, p, _, end := logged(t, nil)
		watching, _ := watch(t, p, targetsOf(check, addrs(1)))
		for range 2 {
			w.become(addr, refuses)
			time.Sleep(6 * time.Second)
			w.become(addr, accepts)
			time.Sleep(6 * time.Second)
			watching.Clear(0) // for failback, the first time; it resets the transitions
		}
		w.become(addr, refuses)
		time.Sleep(6 * time.Second)
		w.become(addr, accepts)
		time.Sleep(6 * time.Second)
		before, _ := watching.Status(0)
		saved := restored(t, p)
		end()

		w, p, _, end = logged(t, saved)
		defer end()
		w.become(addr, accepts)
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(10 * time.Minute)
		after, _ := watching.Status(0)
		if after.Outlook != before.Outlook || after.Verdict != Down {
			t.Errorf("%v, %q; before the restart it was %v, %q", after.Verdict, after.Outlook, before.Verdict, before.Outlook)
		}
		wantTransitions(t, l.take(), "0 unknown->down, damped: connection refused")
	})
}

// TestOldSavedVerdictIsUncertainAndNeedsFullStreak restarts a server an hour later, when the first probes contradict the
// saved verdicts.
func TestOldSavedVerdictIsUncertainAndNeedsFullStreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		all := addrs(2)
		w.become(all[1], refuses)
		watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		saved := restored(t, p)
		end()
		time.Sleep(time.Hour)

		w, p, book, end := logged(t, saved)
		defer end()
		w.become(all[0], after(time.Second, refuses))
		w.become(all[1], after(1050*time.Millisecond, accepts))
		_, l := watch(t, p, targetsOf(tcpCheck(), all))
		transitions := l.take()
		wantTransitions(t, transitions, "0 unknown->uncertain: restored: connected", "1 unknown->uncertain: restored: connection refused")
		if transitions[0].Effective != Up || transitions[1].Effective != Down {
			t.Errorf("effective %v and %v, want the saved verdicts", transitions[0].Effective, transitions[1].Effective)
		}
		time.Sleep(1100 * time.Millisecond)
		wantTransitions(t, l.take(), "0 uncertain->up: connected; still up: connection refused", "1 uncertain->down: connection refused; still down: connected")
		if lines := book.lines(); len(lines) != 1 || lines[0] != `level=INFO msg="restored health states are provisional" restored=2 changed=0` {
			t.Errorf("logged %q, want one line for all of them", lines)
		}
		time.Sleep(13 * time.Second)
		wantTransitions(t, byIndex(l.take()), "0 up->down: connection refused", "1 down->up: connected")
		if n := len(book.lines()); n != 3 {
			t.Errorf("%d lines, want one more for each transition: %q", n, book.lines())
		}
	})
}

// TestProvisionalCompositeIsNotLogged saves the parts of a composite from an hour ago.
func TestProvisionalCompositeIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part, addr := tcpCheck(), addrs(1)[0]
		whole := &config.Check{Name: "all", Type: config.All, Parts: []config.CheckPart{{Check: part}}}
		_, p, _, end := logged(t, nil)
		watch(t, p, []Target{{whole, addr}})
		time.Sleep(time.Minute)
		saved := restored(t, p)
		end()
		time.Sleep(time.Hour)

		_, p, book, end := logged(t, saved)
		defer end()
		watching, l := watch(t, p, []Target{{whole, addr}})
		wantTransitions(t, l.take()[:1], "0 unknown->uncertain: check \"web\" is uncertain: restored: connected")
		time.Sleep(time.Minute)
		if s, _ := watching.Status(0); s.Verdict != Up || len(book.lines()) != 1 {
			t.Errorf("%v; logged %q, want one line for the part", s.Verdict, book.lines())
		}
	})
}

func TestSavedStateOfUnwatchedCheckIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		w.become(addrs(1)[0], refuses)
		watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		time.Sleep(time.Minute)
		saved := restored(t, p)
		end()

		_, p, _, end = logged(t, saved)
		defer end()
		other := tcpCheck()
		other.Name, other.Fall = "other", 5
		_, l := watch(t, p, targetsOf(other, addrs(1)))
		synctest.Wait()
		wantTransitions(t, l.take(), "0 unknown->up: connected")
		if all := p.Save(); len(all) != 2 {
			t.Errorf("saved %+v, want the new one and the one without a watch", all)
		}
		_, l = watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		wantTransitions(t, l.take(), "0 unknown->down: connection refused")
		if all := p.Save(); len(all) != 2 {
			t.Errorf("saved %+v, want both", all)
		}
	})
}

func TestImpossibleSavedStateIsIgnored(t *testing.T) {
	now := time.Now()
	good := SavedTarget{
		Check: "web", Fingerprint: strings.Repeat("ab", 32), Address: netip.MustParseAddr("10.0.0.1"), At: now.Add(-time.Minute),
		Verdict: "down", Since: now.Add(-time.Hour), LastResultAt: now.Add(-time.Minute), Last: "failed", Streak: 9, StreakSince: now.Add(-time.Hour),
	}
	cases := map[string]func(*SavedTarget){
		"":                              func(*SavedTarget) {},
		"64 hexadecimal":                func(m *SavedTarget) { m.Fingerprint = "abcd" },
		`"zz" is not`:                   func(m *SavedTarget) { m.Fingerprint = "zz" },
		"no address":                    func(m *SavedTarget) { m.Address = netip.Addr{} },
		`verdict "sideways"`:            func(m *SavedTarget) { m.Verdict = "sideways" },
		`verdict "unknown"`:             func(m *SavedTarget) { m.Verdict = "unknown" },
		`last result "inconclusive"`:    func(m *SavedTarget) { m.Last = "inconclusive" },
		"more than 24h":                 func(m *SavedTarget) { m.At = now.Add(-25 * time.Hour) },
		"more than 2160h":               func(m *SavedTarget) { m.At, m.Held = now.Add(-91*24*time.Hour), true },
		"no time of":                    func(m *SavedTarget) { m.LastResultAt = time.Time{} },
		"streak of 0":                   func(m *SavedTarget) { m.Streak = 0 },
		"streak of 9223372036854775807": func(m *SavedTarget) { m.Streak = 1<<63 - 1 },
		"a negative duration":           func(m *SavedTarget) { m.Hold = -1 },
	}
	for want, spoil := range cases {
		m, book := good, &logBook{}
		spoil(&m)
		kept := loadSaved([]SavedTarget{good, m}, now, book.logger())
		if want == "" {
			if len(kept) != 1 || book.lines()[0] != "" {
				t.Errorf("a good one was not kept: %v", book.lines())
			}
			continue
		}
		if line := book.lines()[0]; !strings.Contains(strings.ReplaceAll(line, `\"`, `"`), want) || !strings.Contains(line, "ignored=1 of=2") {
			t.Errorf("%s: logged %s", want, line)
		}
	}
}

func TestSavedHoldBeyondCheckLimitsIsIgnored(t *testing.T) {
	now := time.Now()
	check := tcpCheck()
	check.FlapDamping = config.FlapDamping{Turns: 3, Window: time.Minute, Hold: time.Second, Max: time.Minute}
	for name, m := range map[string]SavedTarget{
		"held for longer than max":           {HeldUntil: now.Add(time.Hour)},
		"more transitions than begin a hold": {Transitions: make([]time.Time, 3), HeldUntil: now.Add(time.Second)},
	} {
		m.Verdict, m.Last, m.LastResultAt = "down", "passed", now
		m.Fingerprint = hex.EncodeToString(make([]byte, 32))
		e := &targetState{prepared: &preparedCheck{check: check}}
		e.restore(m, now)
		if d := e.verdict.damping; len(d.transitions) > 0 || now.Before(d.until) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestChangesAreCoalesced(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		watch(t, p, targetsOf(tcpCheck(), addrs(50)))
		synctest.Wait()
		<-p.Changes()
		time.Sleep(time.Hour) // passing probes are no change
		select {
		case <-p.Changes():
			t.Error("a change, though no verdict changed")
		default:
		}
		w.become(addrs(1)[0], refuses)
		time.Sleep(time.Minute)
		<-p.Changes()
	})
}

// FuzzSavedTargets restores random state: the prober continues from a state that it could have reached itself.
func FuzzSavedTargets(f *testing.F) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	check := tcpCheck()
	check.SlowStart = time.Minute
	check.FlapDamping = config.FlapDamping{Turns: 4, Window: 10 * time.Minute, Hold: time.Minute, Max: 15 * time.Minute}
	c, flaws := prepareCheck(check)
	if len(flaws) > 0 {
		f.Fatal(flaws)
	}
	id := identity{c.fingerprint, netip.MustParseAddr("10.0.0.1")}
	seed := SavedTarget{
		Check: "web", Fingerprint: hex.EncodeToString(c.fingerprint[:]), Address: id.addr, At: now,
		Verdict: "up", Since: now, LastResultAt: now, Last: "passed", Streak: 1, StreakSince: now, SlowStart: now,
		Transitions: []time.Time{now}, Hold: time.Minute, HeldUntil: now.Add(time.Minute),
	}
	text, _ := json.Marshal([]SavedTarget{seed})
	f.Add(text)
	f.Add([]byte(`[{"address":"::ffff:10.0.0.1","verdict":"down"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []SavedTarget
		if json.Unmarshal(text, &all) != nil {
			return
		}
		for i := range all {
			all[i].Fingerprint = seed.Fingerprint
		}
		for _, m := range loadSaved(all, now, slog.New(slog.DiscardHandler)) {
			e := &targetState{identity: id, prepared: c}
			e.restore(m, now)
			if v := e.verdict.verdict; v != Up && v != Down {
				t.Fatalf("verdict %v of %+v", v, m)
			}
			if e.verdict.damping.until.Sub(now) > check.FlapDamping.Max {
				t.Fatalf("held until %v", e.verdict.damping.until)
			}
			e.status(now)
			for i := range 5 {
				e.verdict = e.verdict.after(probe.Passed, now.Add(time.Duration(i)*16*time.Minute), check)
			}
			if e.verdict.verdict != Up {
				t.Fatalf("still %+v after an hour of passed probes", e.verdict)
			}
		}
	})
}
