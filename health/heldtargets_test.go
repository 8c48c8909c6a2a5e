package health

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// TestRemovedTargetStaysHeldWhenItReturns removes a target that is held down, lets its endpoint recover, and adds it again:
// with the check unchanged, and edited.
func TestRemovedTargetStaysHeldWhenItReturns(t *testing.T) {
	cases := []struct {
		name  string
		hold  func(*config.Check)
		edit  func(*config.Check)
		after time.Duration
		want  Verdict
	}{
		{"failback manual", manually, same, 80 * 24 * time.Hour, Down},
		{"failback manual, of another timeout", manually, func(c *config.Check) { c.Timeout = time.Second }, time.Hour, Down},
		{"failback manual, of another port", manually, func(c *config.Check) { c.Port = 81 }, time.Hour, Down},
		{"failback manual, of another name and port", manually, func(c *config.Check) { c.Name, c.Port = "other", 81 }, time.Hour, Up},
		{"failback manual, long ago", manually, same, 91 * 24 * time.Hour, Up},
		{"failback auto by then", manually, func(c *config.Check) { c.Failback = config.AutoFailback }, time.Hour, Up},
		{"hold_down", func(c *config.Check) { c.HoldDown = time.Hour }, same, time.Hour, Down},
		{"flap damping", func(c *config.Check) {
			c.FlapDamping = config.FlapDamping{Turns: 1, Window: time.Minute, Hold: time.Hour, Max: time.Hour}
		}, same, 50 * time.Minute, Down},
		{"nothing", same, same, time.Minute, Up},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			probing(t, func(t *testing.T, w *world, p *Prober) {
				check, addr := tcpCheck(), addrs(1)[0]
				c.hold(check)
				watching, _ := watch(t, p, targetsOf(check, addrs(1)))
				synctest.Wait()
				w.become(addr, refuses)
				time.Sleep(time.Minute)
				watching.Close()
				w.become(addr, accepts)
				p.pass(c.after)
				edited := *check
				c.edit(&edited)
				again, _ := watch(t, p, targetsOf(&edited, addrs(1)))
				time.Sleep(time.Minute / 2)
				if s, _ := again.Status(0); s.Verdict != c.want {
					t.Errorf("%v, %s; want %v", s.Verdict, s.Cause.Reason, c.want)
				}
			})
		})
	}
}

func manually(c *config.Check) { c.Failback = config.ManualFailback }
func same(*config.Check)       {}

// pass advances time for saved targets: one hour for real, as the scheduler ticks every second; the rest by making them
// older.
func (p *Prober) pass(d time.Duration) {
	slept := min(d, time.Hour)
	time.Sleep(slept)
	p.call(func(o *scheduler) {
		for id, m := range o.saved {
			m.At, m.Since, m.LastResultAt = m.At.Add(slept-d), m.Since.Add(slept-d), m.LastResultAt.Add(slept-d)
			o.saved[id] = m
		}
	})
}

// TestTargetUnderNewDefinitionIsNotSavedTwice edits a check and restores it, with a clear in between.
func TestTargetUnderNewDefinitionIsNotSavedTwice(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, addr := tcpCheck(), addrs(1)[0]
		manually(check)
		w.become(addr, refuses)
		before, _ := watch(t, p, targetsOf(check, addrs(1)))
		time.Sleep(time.Minute)
		edited := *check
		edited.Port = 81
		between, _ := watch(t, p, targetsOf(&edited, addrs(1)))
		before.Close()
		time.Sleep(time.Minute)
		if all := p.Save(); len(all) != 1 {
			t.Errorf("saved %+v, want one", all)
		}
		between.Clear(0)
		w.become(addr, accepts)
		after, _ := watch(t, p, targetsOf(check, addrs(1)))
		between.Close()
		time.Sleep(time.Minute)
		if s, _ := after.Status(0); s.Verdict != Up {
			t.Errorf("%v, %s; want it up, as an operator has cleared it", s.Verdict, s.Outlook)
		}
	})
}

func TestDroppedHoldsAreBounded(t *testing.T) {
	now := time.Now()
	all := make(savedTargets)
	for i := range maxDropped + 10 {
		m := SavedTarget{
			Check: "web", Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), At: now.Add(-time.Duration(i) * time.Second), Verdict: "down",
			Since: now, LastResultAt: now, Last: "failed", Streak: 1, Held: true,
		}
		all[identity{addr: m.Address}] = m
	}
	all.prune(nil, now)
	if len(all) != maxDropped {
		t.Errorf("%d are left, want %d", len(all), maxDropped)
	}
	for _, m := range all {
		if age := now.Sub(m.At); age >= maxDropped*time.Second {
			t.Fatalf("one of %v ago is left, want the oldest to go", age)
		}
	}
}
