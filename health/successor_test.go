package health

import (
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// TestAChangeOfTheCheckClearsNothing changes the check of a target that is
// down, and whose endpoint has recovered meanwhile.
func TestAChangeOfTheCheckClearsNothing(t *testing.T) {
	damping := config.FlapDamping{Turns: 1, Window: time.Minute, Hold: time.Hour, Max: time.Hour}
	cases := []struct {
		name          string
		before, after func(*config.Check)
		want          []string
	}{
		{
			"failback manual", func(c *config.Check) { c.Failback = config.ManualFailback }, func(c *config.Check) { c.Timeout = time.Second },
			[]string{"0 unknown->uncertain: the check has changed; before: connection refused", "0 uncertain->down: connection refused; still down: connected"},
		},
		{
			"hold_down", func(c *config.Check) { c.HoldDown = 10 * time.Minute }, func(c *config.Check) { c.Timeout = time.Second },
			[]string{"0 unknown->uncertain: the check has changed; before: connection refused", "0 uncertain->down: connection refused; still down: connected"},
		},
		{
			"flap damping", func(c *config.Check) { c.FlapDamping = damping }, func(c *config.Check) { c.Timeout = time.Second },
			[]string{"0 unknown->uncertain: the check has changed; before: connection refused", "0 uncertain->down: connection refused; still down: connected"},
		},
		{
			"failback manual, now auto", func(c *config.Check) { c.Failback = config.ManualFailback }, func(c *config.Check) { c.Failback = config.AutoFailback },
			[]string{"0 unknown->up: connected"},
		},
		{
			"flap damping, now off", func(c *config.Check) { c.FlapDamping = damping }, func(c *config.Check) { c.FlapDamping = config.FlapDamping{} },
			[]string{"0 unknown->up: connected"},
		},
		{
			"failback manual, of another name now", func(c *config.Check) { c.Failback = config.ManualFailback }, func(c *config.Check) { c.Name, c.Port = "other", 81 },
			[]string{"0 unknown->up: connected"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, restart := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					addr, old := addrs(1)[0], tcpCheck()
					c.before(old)
					changed := *old
					c.after(&changed)
					w, p, _, end := logged(t, nil)
					watching, _ := watch(t, p, targetsOf(old, addrs(1)))
					synctest.Wait()
					w.become(addr, refuses)
					time.Sleep(time.Minute)
					w.become(addr, accepts)
					if restart {
						memories := handed(t, p)
						end()
						_, p, _, end = logged(t, memories)
					}
					defer end()
					_, l := watch(t, p, targetsOf(&changed, addrs(1)))
					if !restart {
						watching.Close()
					}
					time.Sleep(time.Minute)
					wantTurns(t, l.heard(), c.want...)
				})
			}
		})
	}
}

func TestWhatIsUpOrWasClearedHoldsDownNoSuccessor(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		old, addr := tcpCheck(), addrs(1)[0]
		old.Failback = config.ManualFailback
		watching, _ := watch(t, p, targetsOf(old, addrs(1)))
		synctest.Wait()
		w.become(addr, refuses)
		time.Sleep(time.Minute)
		watching.Clear(0)
		changed := *old
		changed.Timeout = time.Second
		_, l := watch(t, p, targetsOf(&changed, addrs(1)))
		synctest.Wait()
		wantTurns(t, l.heard(), "0 unknown->down: connection refused")
		w.become(addr, accepts)
		time.Sleep(time.Minute)
		wantTurns(t, l.heard())
		again := changed
		again.Fall = 7
		_, l = watch(t, p, append(targetsOf(&again, addrs(1)), Target{old, addr}))
		synctest.Wait()
		wantTurns(t, byIndex(l.heard()), "0 unknown->uncertain: the check has changed; before: connection refused", "0 uncertain->down: connection refused; still down: connected", "1 unknown->up: connected")
	})
}
