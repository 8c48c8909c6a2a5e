package health

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

func pushCheck(name string) *config.Check {
	return &config.Check{Name: name, Type: config.Push, Rise: 1, Fall: 1, Lease: 30 * time.Second}
}

func push(t *testing.T, p *Prober, check string, addr netip.Addr, up bool, reason string) {
	t.Helper()
	if err := p.Report(check, addr, up, reason, 0); err != nil {
		t.Fatal(err)
	}
}

func TestReportChangesStateUntilLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &logBook{}
		p := NewProber(Options{Logger: book.logger()})
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); <-p.stopped }()
		go p.Run(ctx)
		addr := addrs(1)[0]
		watching, l := watch(t, p, targetsOf(pushCheck("deploy"), addrs(1)))
		if unknown := watching.FirstRound(t.Context()); unknown != 0 || !time.Now().Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("the first round waited for a report: %d unknown", unknown)
		}
		push(t, p, "deploy", addr, false, "draining\n")
		push(t, p, "deploy", addr, true, "")
		time.Sleep(20 * time.Second)
		push(t, p, "deploy", netip.AddrFrom16(addr.As16()), true, "still there")
		time.Sleep(29 * time.Second)
		wantTransitions(t, l.take(), `0 unknown->down: draining\n`, "0 down->up: reported up")
		time.Sleep(time.Second)
		synctest.Wait()
		wantTransitions(t, l.take(), "0 up->unknown: no report for 30s")
		if err := p.Report("deploy", addr, false, "", time.Hour); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour - time.Second)
		wantTransitions(t, l.take(), "0 unknown->down: reported down")
		time.Sleep(2 * time.Second)
		wantTransitions(t, l.take(), "0 down->unknown: no report for 1h")
		if unknown := watching.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("%d unknown", unknown)
		}
		want := `level=WARN msg="health state changed" check=deploy address=10.0.0.0 from=up to=unknown reason="no report for 30s"`
		if lines := book.lines(); len(lines) != 5 || !strings.HasPrefix(lines[2], want) {
			t.Errorf("logged\n%s\nwant as the third\n%s", strings.Join(lines, "\n"), want)
		}
	})
}

func TestReportsCountTowardsRiseAndFall(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		c := pushCheck("deploy")
		c.Rise, c.Fall = 2, 3
		_, l := watch(t, p, targetsOf(c, addrs(1)))
		for _, up := range []bool{true, false, false, true, false, false, false, true, true} {
			push(t, p, "deploy", addrs(1)[0], up, "")
		}
		wantTransitions(t, l.take(), "0 unknown->up: reported up", "0 up->down: reported down", "0 down->up: reported up")
	})
}

func TestUnknownReportErrorListsPushTargets(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		addr := addrs(20)
		wants := func(err error, is bool, want string) {
			t.Helper()
			if err == nil || errors.Is(err, ErrNoPush) != is || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		wants(p.Report("deploy", addr[0], true, "", 0), true, `no check "deploy" of type push is in use, and no other push check`)
		watching, _ := watch(t, p, append(targetsOf(pushCheck("deploy"), addr[:2]), Target{pushCheck("backup"), addr[0]}, Target{tcpCheck(), addr[0]}))
		wants(p.Report("web", addr[0], true, "", 0), true, `no check "web" of type push is in use; in use: backup, deploy`)
		wants(p.Report("deploy", addr[2], true, "", 0), true, `check "deploy" does not watch 10.0.0.2; it watches 10.0.0.0, 10.0.0.1`)
		wants(p.Report("deploy", netip.Addr{}, true, "", 0), true, `does not watch invalid IP; it watches`)
		wants(p.Report("deploy", addr[0], true, "", time.Millisecond), false, "lease 1ms is out of range; 1s to 24h")
		wants(p.Report("deploy", addr[0], true, "", -time.Second), false, "out of range")
		wants(p.Report("deploy", addr[0], true, "", 25*time.Hour), false, "out of range")
		many, _ := watch(t, p, targetsOf(pushCheck("deploy"), addr))
		wants(p.Report("deploy", addrs(21)[20], true, "", 0), true, "10.0.0.17 and 10 more")
		watching.Close()
		many.Close()
		wants(p.Report("deploy", addr[0], true, "", 0), true, "no other push check")
	})
}

func TestCompositeOfPushPartsFollowsReports(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		addr := addrs(1)[0]
		w.become(addr, after(time.Second, accepts))
		both := composite(config.All, 0, of(pushCheck("deploy")), of(named("web", 80)))
		outer := composite(config.Any, 0, of(composite(config.Invert, 0, of(both))))
		watching, l := watch(t, p, []Target{{both, addr}, {outer, addr}})
		began := time.Now()
		if unknown := watching.FirstRound(t.Context()); unknown != 0 || time.Since(began) != time.Second {
			t.Errorf("%d unknown after %v, want to wait for the probe alone", unknown, time.Since(began))
		}
		again, _ := watch(t, p, []Target{{both, addr}, {outer, addr}})
		if unknown := again.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("%d unknown for a second watch", unknown)
		}
		wantTransitions(t, l.take())
		push(t, p, "deploy", addr, false, "rolling")
		wantTransitions(t, byIndex(l.take()),
			`0 unknown->down: check "deploy": rolling`,
			`1 unknown->up: check "invert": check "all" is down: check "deploy": rolling`)
		push(t, p, "deploy", addr, true, "rolled")
		wantTransitions(t, byIndex(l.take()),
			`0 down->up: check "deploy": rolled`,
			`1 up->down: check "invert": check "all" is up: check "deploy": rolled`)
		time.Sleep(31 * time.Second)
		wantTransitions(t, byIndex(l.take()),
			`0 up->unknown: check "deploy" is unknown: no report for 30s`,
			`1 down->unknown: check "invert" is unknown: check "all" is unknown: check "deploy" is unknown: no report for 30s`)
	})
}

// TestLeaseExpiresWhileProbeLimitIsReached lets all probes hang.
func TestLeaseExpiresWhileProbeLimitIsReached(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, all := pushCheck("deploy"), addrs(2)
		check.Lease = 10 * time.Second
		slow := tcpCheck()
		slow.Interval, slow.Timeout = time.Minute, time.Minute
		w.become(all[1], hangs)
		p.call(func(o *scheduler) { o.limit = 1 })
		_, l := watch(t, p, []Target{{check, all[0]}, {slow, all[1]}})
		began := time.Now()
		push(t, p, "deploy", all[0], false, "")
		time.Sleep(11 * time.Second)
		transitions := l.take()
		wantTransitions(t, transitions, "0 unknown->down: reported down", "0 down->unknown: no report for 10s")
		if late := transitions[1].At.Sub(began); late != check.Lease {
			t.Errorf("the lease ended after %v, want %v", late, check.Lease)
		}
	})
}

func TestPushChecksOfDifferentNamesAreDistinct(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		_, l := watch(t, p, []Target{{pushCheck("a"), addrs(1)[0]}, {pushCheck("b"), addrs(1)[0]}})
		push(t, p, "b", addrs(1)[0], false, "")
		wantTransitions(t, l.take(), "1 unknown->down: reported down")
	})
}

func TestReportReachesOldAndNewTargetDuringReload(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		addr := addrs(1)[0]
		old, oldTurns := watch(t, p, targetsOf(pushCheck("deploy"), addrs(1)))
		push(t, p, "deploy", addr, false, "")
		longer := pushCheck("deploy")
		longer.Lease = time.Minute
		_, same := watch(t, p, targetsOf(pushCheck("deploy"), addrs(1)))
		_, fresh := watch(t, p, targetsOf(longer, addrs(1)))
		wantTransitions(t, same.take(), "0 unknown->down: reported down")
		wantTransitions(t, fresh.take(), "0 unknown->down: reported down")
		push(t, p, "deploy", addr, true, "")
		wantTransitions(t, oldTurns.take(), "0 unknown->down: reported down", "0 down->up: reported up")
		wantTransitions(t, fresh.take(), "0 down->up: reported up")
		old.Close()
		time.Sleep(45 * time.Second)
		wantTransitions(t, same.take(), "0 down->up: reported up", "0 up->unknown: no report for 30s")
		wantTransitions(t, fresh.take())
	})
}

func TestReportIsSavedForItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(saved []SavedTarget) (*Prober, func()) {
			p := NewProber(Options{Saved: saved, Logger: (&logBook{}).logger()})
			ctx, stop := context.WithCancel(t.Context())
			go p.Run(ctx)
			return p, func() { stop(); <-p.stopped }
		}
		targets := append(targetsOf(pushCheck("deploy"), addrs(1)), targetsOf(composite(config.Invert, 0, of(pushCheck("deploy"))), addrs(1))...)
		first, stop := run(nil)
		watch(t, first, targets)
		push(t, first, "deploy", addrs(1)[0], false, "draining")
		saved := first.Save()
		stop()
		if len(saved) != 1 || saved[0].Check != "deploy" {
			t.Fatalf("saved %+v, want the reported target without its composite", saved)
		}
		time.Sleep(20 * time.Second)
		second, stop := run(saved)
		_, l := watch(t, second, targets)
		wantTransitions(t, byIndex(l.take()), "0 unknown->down: draining", `1 unknown->up: check "deploy" is down: draining`)
		time.Sleep(11 * time.Second)
		wantTransitions(t, only(l.take(), 0), "0 down->unknown: no report for 30s")
		stop()
		third, stop := run(saved)
		_, l = watch(t, third, targets)
		wantTransitions(t, l.take())
		stop()
		if err := third.Report("deploy", addrs(1)[0], true, "", 0); err == nil || !strings.Contains(err.Error(), "stopped") {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestPushStatusShowsLeaseExpiry(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		watching, _ := watch(t, p, targetsOf(pushCheck("deploy"), addrs(1)))
		if s, _ := watching.Status(0); s.Verdict != Unknown || s.Outlook != "the first report decides" || !s.Next.IsZero() {
			t.Errorf("before a report: %+v", s)
		}
		push(t, p, "deploy", addrs(1)[0], true, "")
		s, _ := watching.Status(0)
		if want := "unknown at 2000-01-01 00:00:30 Z unless it is reported again"; s.Outlook != want || !s.Until.Equal(time.Now().Add(30*time.Second)) || !s.Next.IsZero() {
			t.Errorf("after a report: %+v, want %q", s, want)
		}
	})
}

func TestPanicKeepsLeases(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		_, l := watch(t, p, targetsOf(pushCheck("deploy"), addrs(1)))
		push(t, p, "deploy", addrs(1)[0], true, "")
		p.call(func(*scheduler) { panic("wires crossed") })
		time.Sleep(31 * time.Second)
		got := l.take()
		if end := got[len(got)-1]; end.To != Unknown {
			t.Errorf("%+v", got)
		}
	})
}

func TestReportAndClearApplyBeforeReturning(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		c, addr := pushCheck("deploy"), addrs(1)[0]
		c.Failback = config.ManualFailback
		watching, l := watch(t, p, targetsOf(c, addrs(1)))
		push(t, p, "deploy", addr, true, "")
		wantTransitions(t, l.take(), "0 unknown->up: reported up")
		for range 100 { // a race would show in one of them
			push(t, p, "deploy", addr, false, "")
			wantTransitions(t, l.take(), "0 up->down: reported down")
			push(t, p, "deploy", addr, true, "")
			watching.Clear(0)
			wantTransitions(t, l.take(), "0 down->up: cleared by an operator; the last probe: reported up")
		}
	})
}
