package health

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// wantOutlook compares the outlook; times in it are written as HH:MM:SS.
func wantOutlook(t *testing.T, w *Watch, want string) {
	t.Helper()
	s, ok := w.Status(0)
	if !ok {
		t.Fatal("no status")
	}
	got := s.Outlook
	if i := strings.Index(got, FormatTime(s.Until)); !s.Until.IsZero() && i >= 0 {
		got = got[:i] + "HH:MM:SS" + got[i+len(FormatTime(s.Until)):]
	}
	if got != want {
		t.Errorf("outlook %q, want %q", s.Outlook, want)
	}
}

func TestStateChangeIsConfirmedBySecondProbe(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.Confirm = time.Second
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		synctest.Wait()
		wantTransitions(t, l.take(), "0 unknown->up: connected") // at once
		w.become(addr, refuses)
		for streak := 0; streak < check.Fall; {
			time.Sleep(100 * time.Millisecond)
			s, _ := watching.Status(0)
			streak = s.Streak * int(s.Last[0].Outcome&probe.Failed)
		}
		wantTransitions(t, l.take())
		wantOutlook(t, watching, "confirms at HH:MM:SS whether it is down")
		before := len(w.dialled(addr))
		time.Sleep(check.Confirm)
		synctest.Wait()
		wantTransitions(t, l.take(), "0 up->down: connection refused")
		began := w.dialled(addr)
		if gap := began[before].Sub(began[before-1]); gap != check.Confirm {
			t.Errorf("the probe was repeated after %v, want %v", gap, check.Confirm)
		}
	})
}

func TestContradictedStateChangeDoesNotHappen(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.Confirm, check.Fall = time.Second, 1
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		synctest.Wait()
		l.take()
		w.become(addr, refuses)
		for s, _ := watching.Status(0); s.Last[0].Outcome == probe.Passed; s, _ = watching.Status(0) {
			time.Sleep(100 * time.Millisecond)
		}
		w.become(addr, accepts)
		time.Sleep(time.Hour)
		wantTransitions(t, l.take())
	})
}

func TestFlappingEndpointIsHeldDownAndReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		check, addr := tcpCheck(), addrs(1)[0]
		check.Rise, check.Fall = 1, 1
		check.FlapDamping = config.FlapDamping{Turns: 4, Window: 10 * time.Minute, Hold: time.Minute, Max: 15 * time.Minute}
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		for range 2 {
			time.Sleep(10 * time.Second)
			w.become(addr, refuses)
			time.Sleep(10 * time.Second)
			w.become(addr, accepts)
		}
		time.Sleep(10 * time.Second)
		wantTransitions(t, l.take(), "0 unknown->up: connected", "0 up->down: connection refused",
			"0 down->up: connected", "0 up->down: connection refused", "0 down->down, damped: connection refused")
		wantOutlook(t, watching, "flapping, held down until HH:MM:SS: 4 state changes in 10m")
		time.Sleep(time.Minute)
		wantTransitions(t, l.take(), "0 down->up: connected")
		s, _ := watching.Status(0)
		if len(s.Transitions) != 5 || s.Transitions[0].To != Up || s.Transitions[4].From != Unknown || s.Transitions[0].Target.Check != check {
			t.Errorf("transitions in the status: %+v", s.Transitions)
		}
		for _, want := range []string{
			`level=WARN msg="flapping, held down" check=web address=10.0.0.0 transitions=4 window=10m0s hold=1m0s until=`,
			`level=INFO msg="hold released" check=web address=10.0.0.0`,
		} {
			if !slices.ContainsFunc(book.lines(), func(line string) bool { return strings.HasPrefix(line, want) }) {
				t.Errorf("no line %s in\n%s", want, strings.Join(book.lines(), "\n"))
			}
		}
	})
}

func TestOperatorClearsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		check, addr := tcpCheck(), addrs(1)[0]
		check.Failback, check.HoldDown = config.ManualFailback, time.Minute
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		synctest.Wait()
		if watching.Clear(0) {
			t.Error("cleared what was not held")
		}
		wantOutlook(t, watching, "down after 3 failures in a row")
		w.become(addr, refuses)
		time.Sleep(30 * time.Second)
		wantOutlook(t, watching, "up after 2 successes in a row")
		w.become(addr, accepts)
		time.Sleep(30 * time.Second)
		wantOutlook(t, watching, "waiting for manual failback from HH:MM:SS unless a probe fails first (hold_down)")
		time.Sleep(time.Hour)
		wantOutlook(t, watching, "waiting for manual failback")
		wantTransitions(t, l.take(), "0 unknown->up: connected", "0 up->down: connection refused")
		if !watching.Clear(0) {
			t.Error("nothing was cleared")
		}
		wantTransitions(t, l.take(), "0 down->up: cleared by an operator; the last probe: connected")
		watching.Close()
		if watching.Clear(0) {
			t.Error("cleared by a closed watch")
		}
		if !strings.Contains(strings.Join(book.lines(), "\n"), `level=WARN msg="waiting for manual failback" check=web`) {
			t.Errorf("no line about the wait in\n%s", strings.Join(book.lines(), "\n"))
		}
	})
}

func TestSlowStartWeightIsNotifiedAsItGrows(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.SlowStart = time.Minute
		w.become(addr, refuses)
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		synctest.Wait()
		l.take()
		w.become(addr, accepts)
		time.Sleep(40 * time.Second)
		s, _ := watching.Status(0)
		if s.SlowStartWeight == 0 || !strings.HasPrefix(s.Outlook, "slow start: ") || s.Until.Sub(s.Since) != time.Minute {
			t.Errorf("status %+v", s)
		}
		_, late := watch(t, p, targetsOf(check, addrs(1)))
		if first := late.take(); first[0].SlowStartWeight != s.SlowStartWeight {
			t.Errorf("a new watch gets weight %d, want %d", first[0].SlowStartWeight, s.SlowStartWeight)
		}
		time.Sleep(time.Hour)
		var shares []uint8
		for i, transition := range l.take() {
			if from := []Verdict{Down, Up}[min(i, 1)]; transition.From != from || transition.To != Up {
				t.Errorf("transition %d: %v to %v", i, transition.From, transition.To)
			}
			shares = append(shares, transition.SlowStartWeight)
		}
		last := len(shares) - 1
		if len(shares) < 10 || shares[0] != firstWeight || !slices.IsSorted(shares[:last]) || shares[last] != 0 {
			t.Errorf("shares %v, want them to grow from %d to all", shares, firstWeight)
		}
	})
}

func TestResponseTimeIsNotifiedWhenChanged(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		addr := addrs(1)[0]
		w.become(addr, after(100*time.Millisecond, accepts))
		watching, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		time.Sleep(time.Minute)
		if first := l.take(); len(first) != 1 || first[0].Response != 100*time.Millisecond {
			t.Errorf("got %+v, want only the first verdict with its response time", first)
		}
		w.become(addr, after(500*time.Millisecond, accepts))
		time.Sleep(5 * time.Minute)
		notified := l.take()
		for i, transition := range notified {
			if transition.From != Up || transition.To != Up || i > 0 && transition.Response < notified[i-1].Response*5/4 {
				t.Errorf("transition %d: %+v", i, transition)
			}
		}
		if s, _ := watching.Status(0); s.Response < 450*time.Millisecond || len(notified) < 3 || len(notified) > 8 || len(s.Transitions) != 1 {
			t.Errorf("response %v after %d notifications, %d transitions kept", s.Response, len(notified), len(s.Transitions))
		}
	})
}

func TestSmallResponseTimeChangesAreNotNotified(t *testing.T) {
	for _, c := range []struct {
		notified, smoothed time.Duration
		moved              bool
	}{
		{100 * time.Millisecond, 124 * time.Millisecond, false},
		{100 * time.Millisecond, 126 * time.Millisecond, true},
		{100 * time.Millisecond, 74 * time.Millisecond, true},
		{200 * time.Microsecond, 1100 * time.Microsecond, false},
		{200 * time.Microsecond, 1300 * time.Microsecond, true},
	} {
		if got := (responseTime{c.smoothed, c.notified}).changedEnough(); got != c.moved {
			t.Errorf("from %v to %v: moved %v, want %v", c.notified, c.smoothed, got, c.moved)
		}
	}
}

func TestUncertainVerdictEndsWithNextResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		addr := addrs(1)[0]
		watching, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		w.become(addr, lacksFiles)
		time.Sleep(time.Minute)
		s, _ := watching.Status(0)
		if s.Verdict != Uncertain || s.Effective != Up || s.Outlook != "counts as up until a result is conclusive" {
			t.Errorf("status %+v", s)
		}
		_, late := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		if notified := late.take(); len(notified) != 1 || notified[0].To != Uncertain || notified[0].Effective != Up {
			t.Errorf("a new watch gets %+v", notified)
		}
		w.become(addr, accepts)
		time.Sleep(6 * time.Second)
		transitions := l.take()
		wantTransitions(t, transitions, "0 unknown->up: connected",
			"0 up->uncertain: "+transitions[1].Reason, "0 uncertain->up: connected")
		if transitions[1].Effective != Up || transitions[2].Effective != Unknown {
			t.Errorf("held %v, then %v", transitions[1].Effective, transitions[2].Effective)
		}
		n := 0
		for _, line := range book.lines() {
			if strings.Contains(line, "to=uncertain effective=up") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines say that it is uncertain, want 1", n)
		}
	})
}
