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
)

// handed is what a prober remembers, by way of JSON.
func handed(t *testing.T, p *Prober) []Memory {
	t.Helper()
	text, err := json.Marshal(p.Remember())
	if err != nil {
		t.Fatal(err)
	}
	var all []Memory
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRememberedVerdictsServeAtOnceAndNoRoundIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		all := addrs(2)
		w.become(all[1], refuses)
		old, _ := watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		before, _ := old.Status(1)
		memories := handed(t, p)
		end()
		time.Sleep(3 * time.Second) // a restart

		w, p, _, end = logged(t, memories)
		defer end()
		w.become(all[0], hangs)
		w.become(all[1], hangs)
		watching, l := watch(t, p, targetsOf(tcpCheck(), all))
		turns := l.heard() // before Watch returned
		wantTurns(t, turns, "0 unknown->up: connected", "1 unknown->down: connection refused")
		if n := watching.FirstRound(t.Context()); n != 0 {
			t.Errorf("%d unknown, want the remembered verdicts to do", n)
		}
		s, _ := watching.Status(1)
		if !s.Since.Equal(before.Since) || s.Row != before.Row {
			t.Errorf("since %v, row %d; want %v, %d as before", s.Since, s.Row, before.Since, before.Row)
		}
		time.Sleep(time.Minute)
		wantTurns(t, l.heard(), "0 up->down: timeout after 2s while connecting")
	})
}

func TestFreshMemoriesAreNotProbedAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const targets = 1000
		all := addrs(targets)
		_, p, _, end := logged(t, nil)
		watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		memories := handed(t, p)
		end()
		time.Sleep(11 * time.Second) // nearly as long as a verdict holds without results

		w, p, book, end := logged(t, memories)
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

func TestWhatHoldsAnEndpointDownOutlivesARestart(t *testing.T) {
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
			watching.Clear(0) // of failback, the first time; it forgets the turns
		}
		w.become(addr, refuses)
		time.Sleep(6 * time.Second)
		w.become(addr, accepts)
		time.Sleep(6 * time.Second)
		before, _ := watching.Status(0)
		memories := handed(t, p)
		end()

		w, p, _, end = logged(t, memories)
		defer end()
		w.become(addr, accepts)
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(10 * time.Minute)
		after, _ := watching.Status(0)
		if after.Outlook != before.Outlook || after.Verdict != Down {
			t.Errorf("%v, %q; before the restart it was %v, %q", after.Verdict, after.Outlook, before.Verdict, before.Outlook)
		}
		wantTurns(t, l.heard(), "0 unknown->down, damped: connection refused")
	})
}

// TestAnOldMemoryIsUncertainAndTurnsLikeAnyOther restarts a server an hour later, when
// the first probes say the opposite of what is remembered.
func TestAnOldMemoryIsUncertainAndTurnsLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		all := addrs(2)
		w.become(all[1], refuses)
		watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(time.Minute)
		memories := handed(t, p)
		end()
		time.Sleep(time.Hour)

		w, p, book, end := logged(t, memories)
		defer end()
		w.become(all[0], after(time.Second, refuses))
		w.become(all[1], after(1050*time.Millisecond, accepts))
		_, l := watch(t, p, targetsOf(tcpCheck(), all))
		turns := l.heard()
		wantTurns(t, turns, "0 unknown->uncertain: remembered: connected", "1 unknown->uncertain: remembered: connection refused")
		if turns[0].Held != Up || turns[1].Held != Down {
			t.Errorf("held %v and %v, want what was remembered", turns[0].Held, turns[1].Held)
		}
		time.Sleep(1100 * time.Millisecond)
		wantTurns(t, l.heard(), "0 uncertain->up: connected; still up: connection refused", "1 uncertain->down: connection refused; still down: connected")
		if lines := book.lines(); len(lines) != 1 || lines[0] != `level=INFO msg="verdicts in doubt until the next result" remembered=2 changed=0` {
			t.Errorf("logged %q, want one line for all of them", lines)
		}
		time.Sleep(13 * time.Second)
		wantTurns(t, byIndex(l.heard()), "0 up->down: connection refused", "1 down->up: connected")
		if n := len(book.lines()); n != 3 {
			t.Errorf("%d lines, want one more for each of the turns: %q", n, book.lines())
		}
	})
}

// TestADoubtedCompositeIsNoLineEither remembers the parts of a composite from an hour ago.
func TestADoubtedCompositeIsNoLineEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part, addr := tcpCheck(), addrs(1)[0]
		whole := &config.Check{Name: "all", Type: config.All, Parts: []config.CheckPart{{Check: part}}}
		_, p, _, end := logged(t, nil)
		watch(t, p, []Target{{whole, addr}})
		time.Sleep(time.Minute)
		memories := handed(t, p)
		end()
		time.Sleep(time.Hour)

		_, p, book, end := logged(t, memories)
		defer end()
		watching, l := watch(t, p, []Target{{whole, addr}})
		wantTurns(t, l.heard()[:1], "0 unknown->uncertain: check \"web\" is uncertain: remembered: connected")
		time.Sleep(time.Minute)
		if s, _ := watching.Status(0); s.Verdict != Up || len(book.lines()) != 1 {
			t.Errorf("%v; logged %q, want one line for the part", s.Verdict, book.lines())
		}
	})
}

func TestAMemoryOfAnotherCheckIsKeptForLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		w.become(addrs(1)[0], refuses)
		watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		time.Sleep(time.Minute)
		memories := handed(t, p)
		end()

		_, p, _, end = logged(t, memories)
		defer end()
		other := tcpCheck()
		other.Name, other.Fall = "other", 5
		_, l := watch(t, p, targetsOf(other, addrs(1)))
		synctest.Wait()
		wantTurns(t, l.heard(), "0 unknown->up: connected")
		if all := p.Remember(); len(all) != 2 {
			t.Errorf("remembered %+v, want the new one and the one that nobody watched", all)
		}
		_, l = watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		wantTurns(t, l.heard(), "0 unknown->down: connection refused")
		if all := p.Remember(); len(all) != 2 {
			t.Errorf("remembered %+v, want both", all)
		}
	})
}

func TestImpossibleMemoriesAreIgnored(t *testing.T) {
	now := time.Now()
	good := Memory{
		Check: "web", Definition: strings.Repeat("ab", 32), Address: netip.MustParseAddr("10.0.0.1"), At: now.Add(-time.Minute),
		Verdict: "down", Since: now.Add(-time.Hour), Heard: now.Add(-time.Minute), Last: "failed", Row: 9, RowSince: now.Add(-time.Hour),
	}
	cases := map[string]func(*Memory){
		"":                           func(*Memory) {},
		"64 hexadecimal":             func(m *Memory) { m.Definition = "abcd" },
		`"zz" is not`:                func(m *Memory) { m.Definition = "zz" },
		"no address":                 func(m *Memory) { m.Address = netip.Addr{} },
		`verdict "sideways"`:         func(m *Memory) { m.Verdict = "sideways" },
		`verdict "unknown"`:          func(m *Memory) { m.Verdict = "unknown" },
		`last result "inconclusive"`: func(m *Memory) { m.Last = "inconclusive" },
		"more than 24h":              func(m *Memory) { m.At = now.Add(-25 * time.Hour) },
		"more than 2160h":            func(m *Memory) { m.At, m.Detained = now.Add(-91*24*time.Hour), true },
		"no time when":               func(m *Memory) { m.Heard = time.Time{} },
		"row of 0":                   func(m *Memory) { m.Row = 0 },
		"row of 9223372036854775807": func(m *Memory) { m.Row = 1<<63 - 1 },
		"a negative duration":        func(m *Memory) { m.Hold = -1 },
	}
	for want, spoil := range cases {
		m, book := good, &logBook{}
		spoil(&m)
		kept := remembered([]Memory{good, m}, now, book.logger())
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

func TestAMemoryThatItsCheckCannotHaveMadeHoldsNothingDown(t *testing.T) {
	now := time.Now()
	check := tcpCheck()
	check.FlapDamping = config.FlapDamping{Turns: 3, Window: time.Minute, Hold: time.Second, Max: time.Minute}
	for name, m := range map[string]Memory{
		"held for longer than max":   {HeldUntil: now.Add(time.Hour)},
		"more turns than would hold": {Turns: make([]time.Time, 3), HeldUntil: now.Add(time.Second)},
	} {
		m.Verdict, m.Last, m.Heard = "down", "passed", now
		m.Definition = hex.EncodeToString(make([]byte, 32))
		e := &entry{checker: &checker{check: check}}
		e.recall(m, now)
		if d := e.tally.damping; len(d.turns) > 0 || now.Before(d.until) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestChangesAreToldOnceForAnyNumber(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		watch(t, p, targetsOf(tcpCheck(), addrs(50)))
		synctest.Wait()
		<-p.Changes()
		time.Sleep(time.Hour) // passing probes are no change
		select {
		case <-p.Changes():
			t.Error("a change, though no verdict turned")
		default:
		}
		w.become(addrs(1)[0], refuses)
		time.Sleep(time.Minute)
		<-p.Changes()
	})
}

// FuzzMemories: whatever a state file says, the prober goes on from something
// that it could have come to by itself.
func FuzzMemories(f *testing.F) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	check := tcpCheck()
	check.SlowStart = time.Minute
	check.FlapDamping = config.FlapDamping{Turns: 4, Window: 10 * time.Minute, Hold: time.Minute, Max: 15 * time.Minute}
	c, flaws := newChecker(check)
	if len(flaws) > 0 {
		f.Fatal(flaws)
	}
	id := identity{c.definition, netip.MustParseAddr("10.0.0.1")}
	seed := Memory{
		Check: "web", Definition: hex.EncodeToString(c.definition[:]), Address: id.addr, At: now,
		Verdict: "up", Since: now, Heard: now, Last: "passed", Row: 1, RowSince: now, SlowStart: now,
		Turns: []time.Time{now}, Hold: time.Minute, HeldUntil: now.Add(time.Minute),
	}
	text, _ := json.Marshal([]Memory{seed})
	f.Add(text)
	f.Add([]byte(`[{"address":"::ffff:10.0.0.1","verdict":"down"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []Memory
		if json.Unmarshal(text, &all) != nil {
			return
		}
		for i := range all {
			all[i].Definition = seed.Definition
		}
		for _, m := range remembered(all, now, slog.New(slog.DiscardHandler)) {
			e := &entry{identity: id, checker: c}
			e.recall(m, now)
			if v := e.tally.verdict; v != Up && v != Down {
				t.Fatalf("verdict %v of %+v", v, m)
			}
			if e.tally.damping.until.Sub(now) > check.FlapDamping.Max {
				t.Fatalf("held until %v", e.tally.damping.until)
			}
			e.status(now)
			for i := range 5 {
				e.tally = e.tally.after(Passed, now.Add(time.Duration(i)*16*time.Minute), check)
			}
			if e.tally.verdict != Up {
				t.Fatalf("still %+v after an hour of passed probes", e.tally)
			}
		}
	})
}
