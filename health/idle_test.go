package health

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// idleTCPCheck returns a check that probes a tenth as often what no query asks for in 10 minutes.
func idleTCPCheck() *config.Check {
	c := tcpCheck()
	c.Idle = config.IdleProbing{After: 10 * time.Minute, Factor: 10}
	return c
}

// probesWithin returns how often the first address is probed during d.
func probesWithin(w *world, d time.Duration) int {
	before := len(w.dialled(addrs(1)[0]))
	time.Sleep(d)
	synctest.Wait()
	return len(w.dialled(addrs(1)[0])) - before
}

// TestOutlookOfAnIdleTargetNamesItsLastQuery compares the texts before the first query, after it, and after an edit of the
// check: without a query the time is that of the process, and never that of a query.
func TestOutlookOfAnIdleTargetNamesItsLastQuery(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		began := FormatTime(time.Now())
		watching, _ := watch(t, p, targetsOf(idleTCPCheck(), addrs(1)))
		expect := func(when, since string) {
			t.Helper()
			time.Sleep(15 * time.Minute)
			s, _ := watching.Status(0)
			if want := "; idle since " + FormatTime(s.IdleSince) + ", no query since " + since + ": "; !strings.Contains(s.Outlook, want) {
				t.Errorf("%s: %q, want %q", when, s.Outlook, want)
			}
		}
		expect("before the first query", "this process began to probe it at "+began)
		asked := FormatTime(time.Now())
		watching.MarkUsed([]int{0})
		expect("after a query", asked)
		edited := idleTCPCheck()
		edited.Fall = 5
		old := watching
		watching, _ = watch(t, p, targetsOf(edited, addrs(1)))
		old.Close()
		expect("after an edit", asked)
	})
}

func TestIdleTargetIsProbedLessOftenUntilTheFirstQuery(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		watching, l := watch(t, p, targetsOf(idleTCPCheck(), addrs(1)))
		if n := probesWithin(w, 9*time.Minute); n < 98 || n > 120 {
			t.Errorf("%d probes in the first 9 minutes, want one every 5 s", n)
		}
		time.Sleep(2 * time.Minute)
		if n := probesWithin(w, time.Hour); n < 65 || n > 80 {
			t.Errorf("%d probes in an hour without queries, want one every 50 s", n)
		}
		s, _ := watching.Status(0)
		if s.Verdict != Up || s.Interval != 50*time.Second || s.IdleSince.IsZero() || !strings.Contains(s.Outlook, "; idle since ") || !strings.Contains(s.Outlook, "probed every 50s, last at ") {
			t.Errorf("status %v, interval %v, idle since %v, %q", s.Verdict, s.Interval, s.IdleSince, s.Outlook)
		}
		for range 20 { // at different times since the last probe
			time.Sleep(7 * time.Second)
			before := len(w.dialled(addrs(1)[0]))
			s, _ = watching.Status(0)
			overdue := time.Since(s.Last[0].At) >= 5*time.Second
			watching.MarkUsed([]int{0})
			synctest.Wait()
			if n := len(w.dialled(addrs(1)[0])) - before; overdue && n != 1 {
				t.Errorf("%d probes at the first query, want one at once", n)
			}
			if n := probesWithin(w, 5*time.Minute); n < 53 || n > 68 {
				t.Errorf("%d probes in 5 minutes after a query, want one every 5 s", n)
			}
			s, _ = watching.Status(0)
			if s.Interval != 5*time.Second || !s.IdleSince.IsZero() || strings.Contains(s.Outlook, "idle") {
				t.Errorf("after a query: interval %v, idle since %v, %q", s.Interval, s.IdleSince, s.Outlook)
			}
			time.Sleep(10 * time.Minute)
		}
		for _, transition := range l.take() {
			if transition.From != Unknown {
				t.Errorf("changed from %v to %v: %s", transition.From, transition.To, transition.Reason)
			}
		}
	})
}

// TestIdleTargetIsNeverStale has targets become idle and used again, and one probed inconclusively after that.
func TestIdleTargetIsNeverStale(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		watching, l := watch(t, p, targetsOf(idleTCPCheck(), addrs(1)))
		synctest.Wait()
		l.take()
		for i := range 30 {
			time.Sleep(15*time.Minute + time.Duration(i)*2*time.Second)
			watching.MarkUsed([]int{0})
		}
		if got := l.take(); len(got) > 0 {
			t.Errorf("changes %+v, want none", got)
		}
		time.Sleep(20 * time.Minute)
		w.become(addrs(1)[0], lacksNetwork)
		watching.MarkUsed([]int{0})
		time.Sleep(15 * time.Second) // less than three intervals and a timeout
		if got := l.take(); len(got) > 0 {
			t.Errorf("changes %+v soon after a query, want none", got)
		}
		time.Sleep(5 * time.Second)
		if got := l.take(); len(got) != 1 || got[0].To != Uncertain {
			t.Errorf("changes %+v, want uncertain after three intervals", got)
		}
	})
}

// TestIdleTargetSettlesAtTheNormalInterval has an idle target fail and recover: the probes that decide come at the normal
// interval, and a streak of passed probes at the idle interval counts.
func TestIdleTargetSettlesAtTheNormalInterval(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		_, l := watch(t, p, targetsOf(idleTCPCheck(), addrs(1)))
		time.Sleep(time.Hour)
		l.take()
		for _, change := range []struct {
			become behaviour
			want   Verdict
		}{{refuses, Down}, {accepts, Up}} {
			w.become(addrs(1)[0], change.become)
			time.Sleep(55*time.Second + 2*5500*time.Millisecond) // until the next probe, and two more
			if got := l.take(); len(got) != 1 || got[0].To != change.want {
				t.Errorf("changes %+v, want one to %v", got, change.want)
			}
			if n := probesWithin(w, 10*time.Minute); n > 14 {
				t.Errorf("%d probes in 10 minutes once it is %v, want one every 50 s", n, change.want)
			}
		}
	})
}

func TestIdleTargetsOfCombinedChecksFollowTheirUse(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		either := &config.Check{Name: "either", Type: config.Any, Parts: []config.CheckPart{{Check: idleTCPCheck()}}}
		watching, _ := watch(t, p, targetsOf(either, addrs(1)))
		time.Sleep(time.Hour)
		if s, _ := watching.Status(0); s.Parts[0].IdleSince.IsZero() || !s.IdleSince.IsZero() || s.Interval != 0 {
			t.Errorf("idle since %v, its part %v", s.IdleSince, s.Parts[0].IdleSince)
		}
		if n := probesWithin(w, 10*time.Minute); n > 14 {
			t.Errorf("%d probes in 10 minutes without queries", n)
		}
		watching.MarkUsed([]int{0})
		if n := probesWithin(w, 5*time.Minute); n < 53 {
			t.Errorf("%d probes in 5 minutes after a query", n)
		}
	})
}

// TestEditOfAnIdleCheckKeepsItsVerdict edits a threshold of a check with idle targets, as a reload does.
func TestEditOfAnIdleCheckKeepsItsVerdict(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		old, _ := watch(t, p, targetsOf(idleTCPCheck(), addrs(1)))
		time.Sleep(time.Hour + 40*time.Second)
		edited := idleTCPCheck()
		edited.Fall = 5
		watching, l := watch(t, p, targetsOf(edited, addrs(1)))
		old.Close()
		time.Sleep(10 * time.Minute)
		for _, transition := range l.take() {
			if transition.To != Up {
				t.Errorf("changed to %v: %s", transition.To, transition.Reason)
			}
		}
		if s, _ := watching.Status(0); s.IdleSince.IsZero() {
			t.Error("it is no longer idle, although no query has asked for it")
		}
	})
}
