package health

import (
	"reflect"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// TestEditedCheckKeepsHold edits the check of a target that is down, after its endpoint has recovered.
func TestEditedCheckKeepsHold(t *testing.T) {
	damping := config.FlapDamping{Turns: 1, Window: time.Minute, Hold: time.Hour, Max: time.Hour}
	cases := []struct {
		name          string
		before, after func(*config.Check)
		want          []string
	}{
		{
			"failback manual", func(c *config.Check) { c.Failback = config.ManualFailback }, func(c *config.Check) { c.Timeout = time.Second },
			[]string{"0 unknown->down: connection refused"},
		},
		{
			"hold_down", func(c *config.Check) { c.HoldDown = 10 * time.Minute }, func(c *config.Check) { c.Timeout = time.Second },
			[]string{"0 unknown->down: connection refused"},
		},
		{
			"flap damping", func(c *config.Check) { c.FlapDamping = damping }, func(c *config.Check) { c.Timeout = time.Second },
			[]string{"0 unknown->down: connection refused", "0 down->down, damped: connection refused"},
		},
		{
			"failback manual, now auto", func(c *config.Check) { c.Failback = config.ManualFailback }, func(c *config.Check) { c.Failback = config.AutoFailback },
			[]string{"0 unknown->down: connection refused", "0 down->up: connected"},
		},
		{
			"flap damping, now off", func(c *config.Check) { c.FlapDamping = damping }, func(c *config.Check) { c.FlapDamping = config.FlapDamping{} },
			[]string{"0 unknown->down: connection refused", "0 down->up: connected"},
		},
		{
			"nothing, of another port now", func(*config.Check) {}, func(c *config.Check) { c.Port = 81 },
			[]string{"0 unknown->uncertain: the check has changed; before: connection refused", "0 uncertain->down: connection refused; still down: connected", "0 down->up: connected"},
		},
		{
			"failback manual, of another port now", func(c *config.Check) { c.Failback = config.ManualFailback }, func(c *config.Check) { c.Port = 81 },
			[]string{"0 unknown->uncertain: the check has changed; before: connection refused", "0 uncertain->down: connection refused; still down: connected"},
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
						saved := restored(t, p)
						end()
						_, p, _, end = logged(t, saved)
					}
					defer end()
					_, l := watch(t, p, targetsOf(&changed, addrs(1)))
					if !restart {
						watching.Close()
					}
					time.Sleep(time.Minute)
					wantTransitions(t, l.take(), c.want...)
				})
			}
		})
	}
}

func TestEditedCheckKeepsClear(t *testing.T) {
	for name, edit := range map[string]func(*config.Check){
		"of thresholds": func(c *config.Check) { c.Timeout = time.Second }, "of what is probed": func(c *config.Check) { c.Port = 81 },
	} {
		t.Run(name, func(t *testing.T) {
			probing(t, func(t *testing.T, w *world, p *Prober) {
				old, addr := tcpCheck(), addrs(1)[0]
				old.Failback = config.ManualFailback
				w.become(addr, refuses)
				watching, _ := watch(t, p, targetsOf(old, addrs(1)))
				time.Sleep(time.Minute)
				watching.Clear(0)
				changed := *old
				edit(&changed)
				after, _ := watch(t, p, targetsOf(&changed, addrs(1)))
				watching.Close()
				w.become(addr, accepts)
				time.Sleep(time.Minute)
				if s, _ := after.Status(0); s.Verdict != Up {
					t.Errorf("%v, %s; want it up, as an operator has cleared it", s.Verdict, s.Outlook)
				}
			})
		})
	}
}

// TestDownTargetWinsAmongEqualNames edits a check twice while all three versions are watched, as during two overlapping
// reloads.
func TestDownTargetWinsAmongEqualNames(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		held, addr := tcpCheck(), addrs(1)[0]
		held.Failback = config.ManualFailback
		w.become(addr, refuses)
		watch(t, p, targetsOf(held, addrs(1)))
		time.Sleep(time.Minute)
		free := *tcpCheck()
		free.Port = 81
		_, l := watch(t, p, targetsOf(&free, addrs(1)))
		w.become(addr, accepts)
		time.Sleep(time.Minute)
		if transitions := l.take(); transitions[len(transitions)-1].To != Up {
			t.Fatalf("transitions %+v, want it up", transitions)
		}
		again := *held
		again.Fall, again.Port = 7, 82
		_, l = watch(t, p, append(targetsOf(&again, addrs(1)), Target{&free, addr}))
		synctest.Wait()
		wantTransitions(t, byIndex(l.take()), "0 unknown->uncertain: the check has changed; before: connection refused",
			"0 uncertain->down: connection refused; still down: connected", "1 unknown->up: connected")
	})
}

// TestEditedThresholdsKeepStreak edits all fields that only count results, after two of three failures.
func TestEditedThresholdsKeepStreak(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		old, addr := tcpCheck(), addrs(1)[0]
		before, _ := watch(t, p, targetsOf(old, addrs(1)))
		time.Sleep(time.Minute)
		w.become(addr, refuses)
		s, _ := before.Status(0)
		for ; s.Streak != 2 || s.Last[0].Outcome != probe.Failed; s, _ = before.Status(0) {
			time.Sleep(100 * time.Millisecond)
		}
		changed := *old
		changed.Interval, changed.Timeout, changed.Rise, changed.Fall = 4*time.Second, time.Second, 1, 4
		changed.HoldDown, changed.SlowStart, changed.Confirm = time.Minute, time.Minute, time.Second
		after, l := watch(t, p, targetsOf(&changed, addrs(1)))
		before.Close()
		wantTransitions(t, l.take(), "0 unknown->up: connected")
		if now, _ := after.Status(0); now.Streak != 2 || len(now.Last) != historySize || len(now.Transitions) != 1 || now.SlowStartWeight != FullWeight || !now.Since.Equal(s.Since) {
			t.Errorf("%+v, want what was known before", now)
		}
		wantOutlook(t, after, "down after 3 more failures") // fall and confirm
		if next, _ := after.Status(0); next.Next.After(s.Next) {
			t.Errorf("probed at %v, want it no later than %v as before", next.Next, s.Next)
		}
		time.Sleep(12 * time.Second)
		wantTransitions(t, l.take(), "0 up->down: connection refused")
	})
}

// TestEditedProbeNeedsFullStreak has a server that answers only at another port, or not at all, when the check is edited to
// use that port.
func TestEditedProbeNeedsFullStreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		old, addr := tcpCheck(), addrs(1)[0]
		old.SlowStart = 10 * time.Minute
		w.become(addr, refuses)
		before, _ := watch(t, p, targetsOf(old, addrs(1)))
		time.Sleep(time.Minute)
		w.become(addr, accepts)
		time.Sleep(time.Minute)
		was, _ := before.Status(0)
		changed := *old
		changed.Port = 81
		w.become(addr, after(time.Millisecond, refuses))
		logs := len(book.lines())
		watching, l := watch(t, p, targetsOf(&changed, addrs(1)))
		before.Close()
		if n := watching.FirstRound(t.Context()); n != 0 {
			t.Errorf("%d unknown, want the verdict of before to serve", n)
		}
		transitions := l.take()
		wantTransitions(t, transitions, "0 unknown->uncertain: the check has changed; before: connected")
		if transitions[0].Effective != Up || transitions[0].SlowStartWeight == FullWeight || transitions[0].SlowStartWeight < was.SlowStartWeight {
			t.Errorf("effective %v, weight %d; want up with weight %d", transitions[0].Effective, transitions[0].SlowStartWeight, was.SlowStartWeight)
		}
		if got, want := book.lines()[logs:], `level=INFO msg="restored health states are provisional" restored=0 changed=1`; len(got) != 1 || got[0] != want {
			t.Errorf("logged %q, want %s", got, want)
		}
		time.Sleep(2 * time.Millisecond) // the first probe; the time of the next is random
		wantTransitions(t, l.take(), "0 uncertain->up: connected; still up: connection refused")
		wantOutlook(t, watching, "down after 2 more failures")
		time.Sleep(12 * time.Second)
		wantTransitions(t, l.take(), "0 up->down: connection refused")
	})
}

// TestProbeFingerprintExcludesThresholdsAndTimes changes one field after another.
func TestProbeFingerprintExcludesThresholdsAndTimes(t *testing.T) {
	counts := []string{
		"Interval", "Timeout", "Lease", "WarnDays", "Rise", "Fall", "Confirm",
		"FlapDamping", "HoldDown", "Failback", "SlowStart", "Turns", "Window", "Hold", "Max", "Idle", "After", "Factor",
		"Quorum", "Preset", "Scope", "MinVantages", "MinRegions",
	}
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
			all, probed := fingerprintOf(c, [32]byte{}) != plain, fingerprintOf(probeFields(c), [32]byte{}) != plain
			if want := all && !slices.Contains(counts, name); probed != want {
				t.Errorf("%s: a change of it is one of what is probed: %v, want %v", name, probed, want)
			}
			f.SetZero()
		}
	}
	c := &config.Check{}
	walk(c, reflect.ValueOf(c).Elem())
}

// TestEditedMemberSettingsKeepState edits the members' own ports for one check at one address.
func TestEditedMemberSettingsKeepState(t *testing.T) {
	with := func(port int) *config.Check {
		c := tcpCheck()
		c.Failback = config.ManualFailback
		if port != 80 {
			c.Name, c.Base, c.Port = "web (port "+strconv.Itoa(port)+")", "web", port
		}
		return c
	}
	for _, c := range []struct {
		name          string
		before, after []int
		want          Verdict // of the first target after the reload
		held          Verdict
	}{
		{"the one port changes", []int{81}, []int{82}, Uncertain, Down},
		{"the first own port", []int{80}, []int{82}, Uncertain, Down},
		{"no own port any more", []int{81}, []int{80}, Uncertain, Down},
		{"one of two ports changes", []int{81, 83}, []int{82, 83}, Uncertain, Down},
		{"another target is added", []int{81}, []int{82, 81}, Up, Unknown},
		{"both ports change", []int{81, 83}, []int{82, 84}, Up, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, p, _, end := logged(t, nil)
				defer end()
				addr := addrs(1)[0]
				targets := func(ports []int) (all []Target) {
					for _, port := range ports {
						all = append(all, Target{with(port), addr})
					}
					return all
				}
				w.become(addr, refuses)
				before, _ := watch(t, p, targets(c.before))
				time.Sleep(time.Minute)
				w.become(addr, after(time.Millisecond, accepts))
				next, _ := watch(t, p, targets(c.after))
				before.Close()
				if c.want == Up {
					time.Sleep(2 * time.Millisecond) // the first probe decides
				}
				if s, _ := next.Status(0); s.Verdict != c.want || s.Effective != c.held {
					t.Errorf("%v, held %v; want %v, held %v", s.Verdict, s.Effective, c.want, c.held)
				}
			})
		})
	}
}
