package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

func TestVerdictsFollowTheTruthTable(t *testing.T) {
	cases := []struct {
		name     string
		outcomes string // p passed, f failed, i inconclusive
		want     string // the verdict after each: u unknown, + up, - down
	}{
		{"the first success alone decides", "p", "+"},
		{"the first failure alone decides", "f", "-"},
		{"inconclusive probes decide nothing", "iiip", "uuu+"},
		{"fewer than fall failures keep it up", "pffpff", "++++++"},
		{"fall failures in a row change it to down", "pfff", "+++-"},
		{"a success between restarts the count of failures", "pffpfff", "++++++-"},
		{"rise successes in a row change it to up", "fpp", "--+"},
		{"a failure between restarts the count of successes", "fpfpp", "----+"},
		{"the first failure counts towards no other state change", "fpfffpp", "------+"},
		{"an inconclusive probe neither extends nor ends a streak", "pffif", "++++-"},
		{"failures that go on change nothing", "pffffff", "+++----"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := verdictsAfter(c.outcomes, &config.Check{Rise: 2, Fall: 3}); got != c.want {
				t.Errorf("outcomes %s: verdicts %s, want %s", c.outcomes, got, c.want)
			}
		})
	}
}

func TestThresholdOfOneChangesAtOnce(t *testing.T) {
	if got, want := verdictsAfter("pfpf", &config.Check{Rise: 1, Fall: 1}), "+-+-"; got != want {
		t.Errorf("verdicts %s, want %s", got, want)
	}
}

// letters maps letters to outcomes in these tests' scripts.
var letters = map[rune]probe.Outcome{'p': probe.Passed, 'f': probe.Failed, 'i': probe.Inconclusive}

// start is the start time of the scripts.
var start = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// verdictsAfter applies outcomes, a second apart, to a verdictState and returns its verdicts as letters. A c among the
// outcomes is an operator's clear.
func verdictsAfter(outcomes string, c *config.Check) string {
	var tl verdictState
	var got []byte
	c.Interval = 5 * time.Second
	for i, o := range outcomes {
		now := start.Add(time.Duration(i) * time.Second)
		if o == 'c' {
			tl = tl.clear(now, c)
		} else {
			tl = tl.after(letters[o], now, c)
		}
		got = append(got, "u+-"[tl.verdict])
	}
	return string(got)
}

func TestHoldReasons(t *testing.T) {
	damping := config.FlapDamping{Turns: 4, Window: 20 * time.Second, Hold: 3 * time.Second, Max: 10 * time.Second}
	cases := []struct {
		name     string
		check    config.Check
		outcomes string // a second apart; c: cleared
		want     string
	}{
		{"confirm asks for one more failure", config.Check{Rise: 1, Fall: 2, Confirm: 1}, "pfff", "+++-"},
		{"a success instead of it restarts the streak", config.Check{Rise: 1, Fall: 2, Confirm: 1}, "pffpfff", "++++++-"},
		{"confirm asks for one more success", config.Check{Rise: 1, Fall: 1, Confirm: 1}, "fpp", "--+"},
		{"the first verdict is not confirmed", config.Check{Rise: 1, Fall: 1, Confirm: 1}, "p", "+"},

		{"the fourth change, to up, holds it down", config.Check{Rise: 1, Fall: 1, FlapDamping: damping}, "pfpfpppp", "+-+----+"},
		{"the fourth change, to down, holds it down", config.Check{Rise: 1, Fall: 1, FlapDamping: damping}, "fpfpfpppp", "-+-+---++"},
		{"after a hold it takes rise successes, those during the hold included", config.Check{Rise: 3, Fall: 1, FlapDamping: config.FlapDamping{Turns: 2, Window: time.Minute, Hold: 2 * time.Second, Max: time.Minute}}, "pfpppfpp", "+-------"},
		{"the second hold is twice as long", config.Check{Rise: 1, Fall: 1, FlapDamping: damping}, "pfpfpppp" + "fpf" + "pppppppp", "+-+----+" + "-+-" + "-----+++"},
		{"old changes do not count", config.Check{Rise: 1, Fall: 1, FlapDamping: damping}, "pfpf" + strings.Repeat("f", 20) + "pfpf", "+-+-" + strings.Repeat("-", 20) + "+-+-"},
		{"off, it may flap for ever", config.Check{Rise: 1, Fall: 1}, "pfpfpfpfpf", "+-+-+-+-+-"},
		{"clearing ends damping at once", config.Check{Rise: 1, Fall: 1, FlapDamping: damping}, "pfpfpc", "+-+--+"},
		{"a clear resets the earlier changes", config.Check{Rise: 1, Fall: 1, FlapDamping: damping}, "pfpcfpf", "+-++-+-"},

		{"hold_down asks for time without a failure", config.Check{Rise: 1, Fall: 1, HoldDown: 3 * time.Second}, "pfpppp", "+----+"},
		{"a failure restarts hold_down", config.Check{Rise: 1, Fall: 1, HoldDown: 3 * time.Second}, "pfppfpppp", "+-------+"},
		{"hold_down asks for rise as well", config.Check{Rise: 5, Fall: 1, HoldDown: 3 * time.Second}, "pfppppp", "+-----+"},
		{"inconclusive probes do not end hold_down", config.Check{Rise: 1, Fall: 1, HoldDown: 3 * time.Second}, "pfpiip", "+----+"},
		{"clearing ends hold_down", config.Check{Rise: 1, Fall: 1, HoldDown: time.Hour}, "pfpc", "+--+"},

		{"failback manual waits for an operator", config.Check{Rise: 2, Fall: 1, Failback: config.ManualFailback}, "pfpppppc", "+------+"},
		{"cleared while it fails, it is up once it passes", config.Check{Rise: 2, Fall: 1, Failback: config.ManualFailback}, "pfcpp", "+---+"},
		{"a clearing is for one time down", config.Check{Rise: 1, Fall: 1, Failback: config.ManualFailback}, "pfcpfpp", "+--+---"},
		{"clearing what is up leaves the next time down as it is", config.Check{Rise: 1, Fall: 1, Failback: config.ManualFailback}, "pcfpp", "++---"},
		{"the first verdict needs no clear", config.Check{Rise: 1, Fall: 1, HoldDown: time.Hour, Failback: config.ManualFailback}, "p", "+"},
		{"clearing what is unknown does nothing", config.Check{Rise: 1, Fall: 1}, "cf", "u-"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := verdictsAfter(c.outcomes, &c.check); got != c.want {
				t.Errorf("outcomes %s: verdicts\n%s, want\n%s", c.outcomes, got, c.want)
			}
		})
	}
}

func TestHoldsDoubleAndResetAfterCalm(t *testing.T) {
	f := config.FlapDamping{Turns: 2, Window: 10 * time.Minute, Hold: time.Minute, Max: 5 * time.Minute}
	var d damping
	var holds []time.Duration
	now := start
	for range 8 { // transitions and the results after a hold, ten seconds apart
		after, tooOften := d.add(now, f)
		d, now = after, now.Add(10*time.Second)
		if tooOften {
			holds = append(holds, d.hold)
			now = d.until.Add(10 * time.Second)
		}
	}
	d, _ = d.add(d.until.Add(f.Window), f)
	d, _ = d.add(d.until.Add(f.Window+time.Second), f)
	holds = append(holds, d.hold)
	want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, time.Minute}
	if !slices.Equal(holds, want) {
		t.Errorf("holds %v, want %v", holds, want)
	}
}

func TestSlowStartGrowsLinearly(t *testing.T) {
	c := &config.Check{Rise: 1, Fall: 3, SlowStart: 2 * time.Minute}
	var tl verdictState
	tl = tl.after(probe.Passed, start, c)
	if tl.slowStartWeight != 0 {
		t.Errorf("the first verdict has weight %d, want full", tl.slowStartWeight)
	}
	for range 3 {
		tl = tl.after(probe.Failed, start, c)
	}
	var got []uint8
	for _, s := range []struct {
		after   time.Duration
		outcome probe.Outcome
	}{{0, probe.Passed}, {30 * time.Second, probe.Passed}, {45 * time.Second, probe.Failed}, {time.Minute, probe.Passed}, {119 * time.Second, probe.Passed}, {2 * time.Minute, probe.Passed}, {time.Hour, probe.Passed}} {
		tl = tl.after(s.outcome, start.Add(s.after), c)
		got = append(got, tl.slowStartWeight)
	}
	if want := []uint8{16, 76, 76, 136, 254, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("shares %v, want %v", got, want)
	}
	tl = tl.after(probe.Passed, start, c)
	if tl.verdict != Up || !tl.slowStartSince.IsZero() {
		t.Errorf("after slow start: %+v", tl)
	}
}

func TestProvisionalVerdictNeedsFullStreak(t *testing.T) {
	for _, c := range []struct {
		verdict  Verdict
		last     probe.Outcome // of an earlier streak of two
		outcomes string
		back     config.Failback
		want     string
	}{
		{Up, probe.Failed, "ffff", config.AutoFailback, "+++-"}, // fall and confirm; the failures from before do not count
		{Up, probe.Passed, "fpff", config.AutoFailback, "++++"},
		{Up, probe.Passed, "p", config.AutoFailback, "+"},
		{Down, probe.Passed, "pppp", config.AutoFailback, "---+"},
		{Down, probe.Failed, "fppp", config.AutoFailback, "----"},
		{Down, probe.Passed, "pppppp", config.ManualFailback, "------"},
		{Up, probe.Failed, "iffi", config.AutoFailback, "++++"},
	} {
		check := &config.Check{Rise: 3, Fall: 3, Confirm: 1, Interval: 5 * time.Second, Failback: c.back}
		tl := verdictState{verdict: c.verdict, results: results{last: c.last, streak: 2, streakSince: start, lastResultAt: start, provisional: true}, staleSince: start}
		got := ""
		for i, o := range c.outcomes {
			tl = tl.after(letters[o], start.Add(time.Duration(i)*time.Second), check)
			got += string("u+-"[tl.verdict])
		}
		if got != c.want || tl.provisional {
			t.Errorf("%v, failback %v, after %s: %s, provisional %v, want %s", c.verdict, c.back, c.outcomes, got, tl.provisional, c.want)
		}
	}
}

func TestVerdictIsUncertainWithoutResults(t *testing.T) {
	c := &config.Check{Rise: 1, Fall: 1, Interval: 5 * time.Second, Timeout: 2 * time.Second}
	tl := verdictState{}.after(probe.Passed, start, c)
	at := func(d time.Duration) Verdict {
		v, _ := tl.stale(start.Add(d), time.Time{}, c).effective()
		return v
	}
	if at(17*time.Second) != Up || at(17*time.Second+1) != Uncertain {
		t.Errorf("after 17 s: %v, then %v", at(17*time.Second), at(17*time.Second+1))
	}
	if v, _ := tl.stale(start.Add(time.Hour), start.Add(time.Hour-time.Second), c).effective(); v != Up {
		t.Errorf("%v right after the scheduler stalled, want up", v)
	}
	lost := tl.stale(start.Add(time.Hour), time.Time{}, c)
	if v, held := lost.effective(); v != Uncertain || held != Up {
		t.Errorf("%v, held %v, want uncertain and up", v, held)
	}
	if v, _ := lost.after(probe.Inconclusive, start, c).effective(); v != Uncertain {
		t.Errorf("%v after an inconclusive probe", v)
	}
	if v, _ := lost.after(probe.Passed, start, c).effective(); v != Up {
		t.Errorf("%v after a conclusive one", v)
	}
	if v, _ := (verdictState{}).stale(start, time.Time{}, c).effective(); v != Unknown {
		t.Errorf("unknown became %v", v)
	}
	push := &config.Check{Type: config.Push}
	if v, _ := tl.stale(start.Add(1000*time.Hour), time.Time{}, push).effective(); v != Up {
		t.Errorf("stale push check, which has a lease instead: %v", v)
	}
}

// TestVerdictStateAgreesWithWholeHistory compares with a slow reference: it searches the whole history.
func TestVerdictStateAgreesWithWholeHistory(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	turned, heldDown := 0, 0
	for range 2000 {
		c := randomCheck(random)
		var tl verdictState
		var past chronicle
		now := start
		for range 80 {
			now = now.Add(time.Duration(1+random.IntN(8)) * time.Second)
			e := event{at: now, outcome: probe.Outcome(min(2, random.IntN(5))), cleared: random.IntN(40) == 0}
			if len(past.events) > 0 && random.IntN(3) > 0 {
				e.outcome = past.events[len(past.events)-1].outcome // streaks
			}
			before := tl.verdict
			if e.cleared {
				tl = tl.clear(now, c)
			} else {
				tl = tl.after(e.outcome, now, c)
			}
			past.add(e, c)
			if tl.verdict != past.verdict || tl.slowStartWeight != past.slowStartWeight(c) || now.Before(tl.damping.until) != past.damped(now) {
				t.Fatalf("seed %d, check %+v: after %v: %v, weight %d, held until %v; want %v, weight %d, holds %v",
					seed, *c, past.events, tl.verdict, tl.slowStartWeight, tl.damping.until, past.verdict, past.slowStartWeight(c), past.holds)
			}
			if tl.verdict != before {
				turned++
			}
			if tl.holdReason(now, c) != notHeld {
				heldDown++
			}
		}
	}
	if turned < 1000 || heldDown < 1000 {
		t.Errorf("seed %d: %d transitions and %d holds, too few for this test", seed, turned, heldDown)
	}
}

func randomCheck(r *rand.Rand) *config.Check {
	c := &config.Check{Rise: 1 + r.IntN(3), Fall: 1 + r.IntN(3), Interval: time.Duration(2+r.IntN(10)) * time.Second}
	some := func(d time.Duration) time.Duration { return time.Duration(r.IntN(3)/2) * d }
	c.Confirm, c.HoldDown, c.SlowStart = some(time.Second), some(10*time.Second), some(20*time.Second)
	if r.IntN(3) == 0 {
		c.Failback = config.ManualFailback
	}
	if r.IntN(2) == 0 {
		c.FlapDamping = config.FlapDamping{
			Turns: 2 + r.IntN(3), Window: time.Duration(20+r.IntN(100)) * time.Second,
			Hold: time.Duration(1+r.IntN(20)) * time.Second, Max: time.Duration(20+r.IntN(60)) * time.Second,
		}
	}
	return c
}

// event is a result, or an operator's clear, and its time.
type event struct {
	at      time.Time
	outcome probe.Outcome
	cleared bool
}

// chronicle is the whole history of a target, without any summary.
type chronicle struct {
	events      []event
	verdict     Verdict
	up          time.Time   // last change to up; zero: its first verdict was up
	cleared     bool        // cleared since it went down
	transitions []time.Time // since the last clear, including suppressed ones
	holds       []stay      // those of damping
}

type stay struct{ from, to time.Time }

func (p *chronicle) add(e event, c *config.Check) {
	p.events = append(p.events, e)
	switch {
	case e.cleared:
		p.transitions, p.holds, p.cleared = nil, nil, p.verdict == Down
	case e.outcome == probe.Inconclusive:
		return
	}
	last, streak, since := p.streak(3*c.Interval + c.Timeout)
	confirm := 0
	if c.Confirm > 0 {
		confirm = 1
	}
	held := !p.cleared && (e.at.Sub(since) < c.HoldDown || c.Failback == config.ManualFailback)
	switch {
	case streak == 0:
	case p.verdict == Unknown:
		p.verdict = map[probe.Outcome]Verdict{probe.Passed: Up, probe.Failed: Down}[last]
	case p.verdict == Up && last == probe.Failed && streak >= c.Fall+confirm:
		p.flaps(e.at, c.FlapDamping)
		p.verdict, p.cleared = Down, false
	case p.verdict == Down && last == probe.Passed && streak >= c.Rise+confirm && !p.damped(e.at) && !held:
		if !p.flaps(e.at, c.FlapDamping) {
			p.verdict, p.cleared, p.up = Up, false, e.at
		}
	}
}

// streak searches back for the last equal results; a gap ends a streak of successes.
func (p *chronicle) streak(gap time.Duration) (last probe.Outcome, n int, since time.Time) {
	for _, e := range slices.Backward(p.events) {
		if e.cleared || e.outcome == probe.Inconclusive {
			continue
		}
		if n > 0 && (e.outcome != last || last == probe.Passed && since.Sub(e.at) > gap) {
			break
		}
		last, n, since = e.outcome, n+1, e.at
	}
	return last, n, since
}

// flaps records a transition, and reports whether it begins a hold.
func (p *chronicle) flaps(now time.Time, f config.FlapDamping) bool {
	if f.Turns == 0 {
		return false
	}
	p.transitions = append(p.transitions, now)
	var before stay
	if len(p.holds) > 0 {
		before = p.holds[len(p.holds)-1]
	}
	recent, calm, quiet := 0, false, before.to
	for _, at := range p.transitions {
		if !at.After(before.from) {
			continue
		}
		calm = calm || at.Sub(quiet) >= f.Window
		quiet = at
		if now.Sub(at) < f.Window {
			recent++
		}
	}
	if recent < f.Turns {
		return false
	}
	long := f.Hold
	if !calm {
		long = max(long, 2*before.to.Sub(before.from))
	}
	p.holds = append(p.holds, stay{now, now.Add(min(long, f.Max))})
	return true
}

func (p *chronicle) damped(now time.Time) bool {
	return slices.ContainsFunc(p.holds, func(h stay) bool { return now.Before(h.to) })
}

func (p *chronicle) slowStartWeight(c *config.Check) uint8 {
	if p.verdict != Up || p.up.IsZero() || c.SlowStart == 0 {
		return 0
	}
	passed := p.up
	for _, e := range p.events {
		if !e.cleared && e.outcome == probe.Passed && e.at.After(p.up) {
			passed = e.at
		}
	}
	if passed.Sub(p.up) >= c.SlowStart {
		return 0
	}
	return uint8(16 + 240*float64(passed.Sub(p.up))/float64(c.SlowStart))
}

func TestVerdictAndOutcomeNames(t *testing.T) {
	got := fmt.Sprint(Unknown, Up, Down, Uncertain, probe.Inconclusive, probe.Failed, probe.Passed)
	if want := "unknown up down uncertain inconclusive failed passed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
