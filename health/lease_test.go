package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

func TestHeldTargetStaysDownWhenLeaseExpires(t *testing.T) {
	damped := config.FlapDamping{Turns: 2, Window: 10 * time.Minute, Hold: 5 * time.Minute, Max: 5 * time.Minute}
	cases := []struct {
		name    string
		change  func(*config.Check)
		want    []string // after a report of down, and two hours without reports
		outlook string
	}{
		{
			"nothing detains it", func(*config.Check) {},
			[]string{"0 up->down: reported down", "0 down->unknown: no report for 30s"},
			"the first report decides",
		},
		{
			"hold_down", func(c *config.Check) { c.HoldDown = time.Hour },
			[]string{"0 up->down: reported down", "0 down->uncertain: no report for 30s", "0 uncertain->unknown: no report for 1h"},
			"the first report decides",
		},
		{
			"flap damping, as expiry would be a change to up", func(c *config.Check) { c.FlapDamping = damped },
			[]string{"0 up->down: reported down", "0 down->uncertain: no report for 30s", "0 uncertain->unknown: no report for 5m30s"},
			"the first report decides",
		},
		{
			"failback manual", func(c *config.Check) { c.Failback = config.ManualFailback },
			[]string{"0 up->down: reported down", "0 down->uncertain: no report for 30s"},
			"unknown when failback is cleared, unless it is reported again",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			probing(t, func(t *testing.T, _ *world, p *Prober) {
				check, addr := pushCheck("deploy"), addrs(1)[0]
				c.change(check)
				watching, l := watch(t, p, targetsOf(check, addrs(1)))
				push(t, p, "deploy", addr, true, "")
				wantTransitions(t, l.take(), "0 unknown->up: reported up")
				push(t, p, "deploy", addr, false, "")
				time.Sleep(2 * time.Hour)
				wantTransitions(t, l.take(), c.want...)
				wantOutlook(t, watching, c.outlook)
			})
		})
	}
}

func TestReportAfterGapRestartsStreak(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		check, addr := pushCheck("deploy"), addrs(1)[0]
		check.HoldDown = time.Hour
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		push(t, p, "deploy", addr, false, "")
		push(t, p, "deploy", addr, true, "")
		time.Sleep(50 * time.Minute)
		wantOutlook(t, watching, "unknown at HH:MM:SS unless it is reported again")
		push(t, p, "deploy", addr, true, "")
		wantOutlook(t, watching, "up at HH:MM:SS unless a probe fails first (hold_down)")
		for range 61 * 3 {
			time.Sleep(20 * time.Second)
			push(t, p, "deploy", addr, true, "")
		}
		wantTransitions(t, l.take(), "0 unknown->down: reported down", "0 down->uncertain: no report for 30s",
			"0 uncertain->down: reported down; still down: reported up", "0 down->up: reported up")
	})
}

func TestClearOfExpiredHeldTargetMakesItUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, addr := pushCheck("deploy"), addrs(1)[0]
		check.Failback = config.ManualFailback
		_, p, _, end := logged(t, nil)
		watch(t, p, targetsOf(check, addrs(1)))
		push(t, p, "deploy", addr, false, "")
		time.Sleep(time.Hour)
		saved := restored(t, p)
		end()
		time.Sleep(48 * time.Hour) // longer than the age limit of targets without a hold

		_, p, _, end = logged(t, saved)
		defer end()
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		wantTransitions(t, l.take(), "0 unknown->uncertain: restored: reported down")
		push(t, p, "deploy", addr, true, "")
		time.Sleep(time.Hour)
		wantTransitions(t, l.take(), "0 uncertain->down: reported down; still down: reported up", "0 down->uncertain: no report for 30s")
		if !watching.Clear(0) {
			t.Error("nothing was held")
		}
		wantTransitions(t, l.take(), "0 uncertain->unknown: no report for 1h")
	})
}

func TestManualFailbackSurvivesDaysOfDowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, plain, addr := tcpCheck(), tcpCheck(), addrs(1)[0]
		check.Failback, plain.Port = config.ManualFailback, 81
		w, p, _, end := logged(t, nil)
		w.become(addr, refuses)
		targets := []Target{{check, addr}, {plain, addr}}
		watch(t, p, targets)
		time.Sleep(time.Minute)
		saved := restored(t, p)
		end()
		time.Sleep(60 * 24 * time.Hour)

		_, p, _, end = logged(t, saved)
		defer end()
		_, l := watch(t, p, targets)
		time.Sleep(time.Minute)
		wantTransitions(t, byIndex(l.take()), "0 unknown->uncertain: restored: connection refused", "0 uncertain->down: connection refused; still down: connected", "1 unknown->up: connected")
	})
}

func TestGapDoesNotCountTowardsHoldDown(t *testing.T) {
	check := tcpCheck()
	check.HoldDown, check.Fall = time.Minute, 1
	tl := verdictState{}.after(probe.Failed, start, check).after(probe.Passed, start.Add(5*time.Second), check)
	now := start.Add(time.Hour)
	for passes := 0; tl.verdict == Down; passes++ {
		if tl = tl.after(probe.Passed, now, check); tl.verdict == Up {
			if waited := now.Sub(start); waited != time.Hour+time.Minute {
				t.Errorf("up after %v, want hold_down to begin after the gap", waited)
			}
		}
		now = now.Add(5 * time.Second)
	}
}

func TestClockSetBackKeepsSavedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.FlapDamping = config.FlapDamping{Turns: 2, Window: time.Hour, Hold: 10 * time.Minute, Max: time.Hour}
		w, p, _, end := logged(t, nil)
		watch(t, p, targetsOf(check, addrs(1)))
		synctest.Wait()
		w.become(addr, refuses)
		time.Sleep(time.Minute)
		w.become(addr, accepts)
		time.Sleep(time.Minute)
		saved := restored(t, p)
		end()
		for i := range saved {
			m := &saved[i]
			for _, at := range []*time.Time{&m.At, &m.Since, &m.LastResultAt, &m.StreakSince, &m.HeldUntil} {
				*at = at.Add(1000 * time.Hour)
			}
			m.Transitions = nil
		}
		before := saved[0].HeldUntil.Sub(saved[0].At)
		book := &logBook{}
		p = NewProber(Options{Dial: w.dial, Logger: book.logger(), Saved: saved})
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); <-p.stopped }()
		go p.Run(ctx)
		watching, l := watch(t, p, targetsOf(check, addrs(1)))
		wantTransitions(t, l.take(), "0 unknown->down, damped: connection refused")
		if s, _ := watching.Status(0); time.Until(s.Until) != before || s.Since.After(time.Now()) || book.lines()[0] != "" {
			t.Errorf("held until %v, since %v; logged %q; want %v more", s.Until, s.Since, book.lines(), before)
		}
	})
}

// TestReasonOfDownSurvivesRestarts restarts a server twice while an endpoint is held down.
func TestReasonOfDownSurvivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, addr := tcpCheck(), addrs(1)[0]
		check.Failback = config.ManualFailback
		w, p, _, end := logged(t, nil)
		w.become(addr, refuses)
		watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(time.Minute)
		for range 2 {
			saved := restored(t, p)
			end()
			time.Sleep(time.Hour)
			_, p, _, end = logged(t, saved)
			watching, _ := watch(t, p, targetsOf(check, addrs(1)))
			time.Sleep(time.Minute)
			if s, _ := watching.Status(0); s.Cause.Reason != "connection refused; still down: connected" {
				t.Errorf("down for %q", s.Cause.Reason)
			}
		}
		saved := restored(t, p)
		end()
		_, p, _, end = logged(t, saved) // at once, so that no verdict becomes uncertain
		defer end()
		_, l := watch(t, p, targetsOf(check, addrs(1)))
		wantTransitions(t, l.take(), "0 unknown->down: connection refused")
	})
}
