package health

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// vantage runs f in a bubble with a prober of a cluster, and the opinions that it published.
func vantage(t *testing.T, f func(t *testing.T, w *world, p *Prober, opinions *opinionBook)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, book := newWorld(), &opinionBook{}
		p := NewProber(Options{Dial: w.dial, Logger: slog.New(slog.DiscardHandler), Opinions: book.add})
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); <-p.stopped }()
		go p.Run(ctx)
		f(t, w, p, book)
	})
}

// opinionBook holds published opinions.
type opinionBook struct {
	mu  sync.Mutex
	all []Opinion
}

func (b *opinionBook) add(o Opinion) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, o)
}

// take returns the opinions since the last call, in words.
func (b *opinionBook) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var words []string
	for _, o := range b.all {
		word := fmt.Sprintf("%v (%v)", o.Verdict, o.Reason)
		if o.Gone {
			word = "gone"
		}
		words = append(words, word)
	}
	b.all = nil
	return strings.Join(words, ", ")
}

func expectText(t *testing.T, of, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", of, got, want)
	}
}

// agree makes the vantages agree about a target, and returns its state, in words.
func agree(t *testing.T, p *Prober, w *Watch, a Agreement) string {
	t.Helper()
	if !p.Agree([]Agreement{a}) {
		t.Fatal("the prober is stopped")
	}
	return stateOf(t, w)
}

func stateOf(t *testing.T, w *Watch) string {
	t.Helper()
	s, ok := w.Status(0)
	if !ok {
		t.Fatal("no status")
	}
	if s.Verdict == Uncertain {
		return "uncertain, " + s.Effective.String()
	}
	return s.Verdict.String()
}

func TestSharedTargetPublishesOpinionsByRiseAndFall(t *testing.T) {
	vantage(t, func(t *testing.T, w *world, p *Prober, opinions *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		watched, _ := watch(t, p, targetsOf(check, all))
		time.Sleep(time.Millisecond)
		expectText(t, "opinions at the start", opinions.take(), "unknown (no reason), up (passed)")
		expectText(t, "state without an agreement", stateOf(t, watched), "unknown")

		w.become(all[0], refuses)
		time.Sleep(3 * check.Interval / 2)
		expectText(t, "opinions after less than fall failures", opinions.take(), "")
		time.Sleep(5 * check.Interval / 2)
		expectText(t, "opinions after fall failures", opinions.take(), "down (failed)")
		expectText(t, "state without an agreement", stateOf(t, watched), "unknown")

		w.become(all[0], hangs)
		time.Sleep(3 * check.Interval)
		w.become(all[0], lacksFiles)
		time.Sleep(5 * check.Interval)
		expectText(t, "opinions without results", opinions.take(), "unknown (no result)")
		w.become(all[0], hangs)
		time.Sleep(2 * check.Interval)
		expectText(t, "opinions after a timeout", opinions.take(), "down (timeout)")
		watched.Close()
		time.Sleep(2 * check.Timeout) // a probe may still run
		expectText(t, "opinions after the watch", opinions.take(), "gone")
	})
}

func TestSharedTargetFollowsAgreement(t *testing.T) {
	vantage(t, func(t *testing.T, w *world, p *Prober, _ *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		w.become(all[0], refuses)
		watched, l := watch(t, p, targetsOf(check, all))
		id := IDOf(check, all[0])
		time.Sleep(time.Millisecond)

		expectText(t, "agreed up, this node sees it down", agree(t, p, watched, Agreement{ID: id, Verdict: Up, Reason: "2 of 3 regions up"}), "up")
		wantTransitions(t, l.take(), "0 unknown->up: 2 of 3 regions up")
		time.Sleep(10 * check.Interval)
		expectText(t, "later", stateOf(t, watched), "up")
		expectText(t, "too few votes", agree(t, p, watched, Agreement{ID: id, Uncertain: true, Reason: "1 of 3 regions votes"}), "uncertain, up")
		time.Sleep(10 * check.Interval)
		expectText(t, "later", stateOf(t, watched), "uncertain, up")
		expectText(t, "other votes, still too few", agree(t, p, watched, Agreement{ID: id, Uncertain: true, Reason: "0 of 3 regions vote"}), "uncertain, up")
		s, _ := watched.Status(0)
		expectText(t, "reason after other votes", s.Cause.Reason, "0 of 3 regions vote")
		expectText(t, "agreed down", agree(t, p, watched, Agreement{ID: id, Verdict: Down, Reason: "2 of 3 regions down"}), "down")
		expectText(t, "too few votes", agree(t, p, watched, Agreement{ID: id, Uncertain: true}), "uncertain, down")
		expectText(t, "still down", agree(t, p, watched, Agreement{ID: id, Verdict: Down}), "down")
		expectText(t, "agreed up", agree(t, p, watched, Agreement{ID: id, Verdict: Up}), "up")
	})
}

// The agreement is made once and applies to a target that a later watch adds.
func TestAgreementAppliesToTargetOfLaterWatch(t *testing.T) {
	vantage(t, func(t *testing.T, _ *world, p *Prober, opinions *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		first, _ := watch(t, p, targetsOf(check, all))
		agree(t, p, first, Agreement{ID: IDOf(check, all[0]), Verdict: Down})
		opinions.take()
		changed := *check
		changed.Fall = 7 // other thresholds: a second target of the same identity
		second, _ := watch(t, p, targetsOf(&changed, all))
		expectText(t, "state", stateOf(t, second), "down")
		first.Close()
		time.Sleep(time.Millisecond)
		if got := opinions.take(); strings.Contains(got, "gone") {
			t.Errorf("opinions after the first of two watches closed: %q", got)
		}
	})
}

func TestConfirmAppliesToAgreement(t *testing.T) {
	vantage(t, func(t *testing.T, _ *world, p *Prober, _ *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		check.Confirm = 1500 * time.Millisecond
		watched, _ := watch(t, p, targetsOf(check, all))
		id := IDOf(check, all[0])
		time.Sleep(time.Millisecond)
		agree(t, p, watched, Agreement{ID: id, Verdict: Up})
		expectText(t, "down, not confirmed", agree(t, p, watched, Agreement{ID: id, Verdict: Down}), "up")
		time.Sleep(check.Confirm / 2)
		expectText(t, "withdrawn before confirm", agree(t, p, watched, Agreement{ID: id, Verdict: Up}), "up")
		time.Sleep(check.Confirm)
		expectText(t, "after the withdrawal", stateOf(t, watched), "up")
		agree(t, p, watched, Agreement{ID: id, Verdict: Down})
		time.Sleep(check.Confirm - time.Millisecond)
		expectText(t, "before confirm", stateOf(t, watched), "up")
		time.Sleep(2 * time.Millisecond)
		expectText(t, "after confirm", stateOf(t, watched), "down")
	})
}

func TestHoldsApplyToAgreement(t *testing.T) {
	vantage(t, func(t *testing.T, w *world, p *Prober, _ *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		check.HoldDown = 20 * time.Second
		check.FlapDamping = config.FlapDamping{Turns: 4, Window: time.Hour, Hold: time.Minute, Max: time.Hour}
		w.become(all[0], refuses) // own results do not matter
		watched, _ := watch(t, p, targetsOf(check, all))
		id := IDOf(check, all[0])
		time.Sleep(time.Millisecond)
		for round := range 2 {
			agree(t, p, watched, Agreement{ID: id, Verdict: Up})
			time.Sleep(check.HoldDown + 2*time.Second)
			expectText(t, fmt.Sprintf("round %d", round), stateOf(t, watched), "up")
			agree(t, p, watched, Agreement{ID: id, Verdict: Down})
			expectText(t, "agreed up, in hold_down", agree(t, p, watched, Agreement{ID: id, Verdict: Up}), "down")
			time.Sleep(check.HoldDown - time.Second)
			expectText(t, "in hold_down", stateOf(t, watched), "down")
		}
		time.Sleep(2 * time.Second) // the fourth change: damped
		s, _ := watched.Status(0)
		if s.Verdict != Down || !strings.HasPrefix(s.Outlook, "flapping, held down until") {
			t.Errorf("after four changes: %v, %q", s.Verdict, s.Outlook)
		}
		time.Sleep(time.Minute + 2*time.Second)
		expectText(t, "after the damping", stateOf(t, watched), "up")
	})
}

// What differs between vantages does not count for the identity of a probe, what is probed does.
func TestIDOfIsOfWhatIsProbed(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	base := config.Check{Name: "web", Type: config.HTTPS, Port: 443, Path: "/health", Interval: time.Second, Rise: 2, Fall: 3}
	change := func(f func(*config.Check)) ProbeID {
		c := base
		f(&c)
		return IDOf(&c, addr)
	}
	id := IDOf(&base, addr)
	for name, f := range map[string]func(*config.Check){
		"thresholds": func(c *config.Check) { c.Rise, c.Fall, c.Confirm, c.Interval = 5, 6, 7, 8 },
		"source":     func(c *config.Check) { c.Sources = []netip.Addr{netip.MustParseAddr("192.0.2.9")} },
		"files":      func(c *config.Check) { c.TLS.CA, c.TLS.Cert, c.TLS.Key = "a", "b", "c" },
		"position":   func(c *config.Check) { c.Pos = config.Pos{Line: 7} },
	} {
		if change(f) != id {
			t.Errorf("another %s is another probe", name)
		}
	}
	for name, f := range map[string]func(*config.Check){
		"name": func(c *config.Check) { c.Name = "api" },
		"path": func(c *config.Check) { c.Path = "/" },
		"port": func(c *config.Check) { c.Port = 80 },
		"type": func(c *config.Check) { c.Type = config.HTTP },
		"name to verify": func(c *config.Check) {
			c.TLS.ServerName = "a.example"
		},
	} {
		if change(f) == id {
			t.Errorf("another %s is the same probe", name)
		}
	}
	if IDOf(&base, addr.Next()) == id || IDOf(&base, netip.MustParseAddr("::ffff:192.0.2.1")) != id {
		t.Error("the address does not count as it should")
	}
}

// TestAgreedStateIsTheStateOfOneVantage compares a shared target that follows the opinion of one vantage with a target
// that this vantage decides alone, for random results, thresholds and holds.
func TestAgreedStateIsTheStateOfOneVantage(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		c := &config.Check{
			Interval: time.Second, Timeout: time.Second, Rise: 1 + rnd.IntN(3), Fall: 1 + rnd.IntN(3),
		}
		if rnd.IntN(2) == 0 {
			c.FlapDamping = config.FlapDamping{Turns: 2 + rnd.IntN(3), Window: 10 * time.Second, Hold: 3 * time.Second, Max: 9 * time.Second}
		}
		alone, shared := verdictState{}, verdictState{agreement: agreement{shared: true}}
		at, last := start, probe.Passed
		for range 40 {
			at = at.Add(time.Second)
			if rnd.IntN(4) == 0 {
				last = probe.Passed + probe.Failed - last
			}
			alone = alone.after(last, at, c)
			shared = shared.after(last, at, c)
			shared = shared.agree(shared.opinion.verdict, false, at, c)
			// A target that is held down rises with its opinion in the shared case, and with another full streak when it is
			// alone, so that only the states without a hold compare.
			if alone.holdReason(at, c) != notHeld || shared.holdReason(at, c) != notHeld {
				break
			}
			if alone.verdict != shared.verdict || !alone.since.Equal(shared.since) {
				t.Fatalf("rise %d, fall %d: alone %v since %v, shared %v since %v", c.Rise, c.Fall, alone.verdict, alone.since, shared.verdict, shared.since)
			}
		}
	}
}

// A target that a reload takes from the vantages follows the results of this node again, without a restart.
func TestTargetThatIsNotSharedAnyMoreFollowsOwnResults(t *testing.T) {
	shared := tcpCheck()
	local := *shared
	local.Quorum.Preset = config.LocalPreset
	localOtherProbe := local
	localOtherProbe.Port = 81
	for name, changed := range map[string]*config.Check{"the same probe": &local, "another probe": &localOtherProbe} {
		for _, uncertain := range []bool{false, true} {
			vantage(t, func(t *testing.T, w *world, p *Prober, opinions *opinionBook) {
				all := addrs(1)
				before, _ := watch(t, p, targetsOf(shared, all))
				time.Sleep(2 * shared.Interval)
				id := IDOf(shared, all[0])
				agree(t, p, before, Agreement{ID: id, Verdict: Up})
				if uncertain {
					agree(t, p, before, Agreement{ID: id, Uncertain: true, Reason: "1 of 3 regions votes"})
				}
				after, _ := watch(t, p, targetsOf(changed, all))
				before.Close()
				if changed == &local {
					expectText(t, name+", at once", stateOf(t, after), "up")
					if s, _ := after.Status(0); strings.Contains(s.Cause.Reason, "regions vote") {
						t.Errorf("%s: reason %q", name, s.Cause.Reason)
					}
				}
				time.Sleep(2 * shared.Interval)
				expectText(t, name+", own results up", stateOf(t, after), "up")
				w.become(all[0], refuses)
				time.Sleep(5 * shared.Interval)
				expectText(t, name+", own results down", stateOf(t, after), "down")
				if got := opinions.take(); !strings.HasSuffix(got, "gone") {
					t.Errorf("%s: opinions %q", name, got)
				}
			})
		}
	}
}

// What the vantages agreed on about one probe does not confirm what they find of another.
func TestAgreementAboutEarlierProbeEnds(t *testing.T) {
	vantage(t, func(t *testing.T, w *world, p *Prober, _ *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		check.HoldDown = time.Minute
		before, _ := watch(t, p, targetsOf(check, all))
		agree(t, p, before, Agreement{ID: IDOf(check, all[0]), Verdict: Down})
		agree(t, p, before, Agreement{ID: IDOf(check, all[0]), Verdict: Up})
		time.Sleep(check.HoldDown / 2)
		changed := *check
		changed.Port = 81
		after, _ := watch(t, p, targetsOf(&changed, all))
		before.Close()
		expectText(t, "the other probe agreed up", agree(t, p, after, Agreement{ID: IDOf(&changed, all[0]), Verdict: Up}), "down")
		time.Sleep(check.HoldDown/2 + 5*time.Second)
		expectText(t, "hold_down of the earlier probe is over", stateOf(t, after), "down")
		time.Sleep(check.HoldDown / 2)
		expectText(t, "after hold_down", stateOf(t, after), "up")
	})
}

// Time in which the vantages agreed on nothing counts neither for confirm nor for hold_down.
func TestUncertainTimeDoesNotCount(t *testing.T) {
	vantage(t, func(t *testing.T, _ *world, p *Prober, _ *opinionBook) {
		check, all := tcpCheck(), addrs(1)
		check.Confirm, check.HoldDown = 10*time.Second, time.Minute
		watched, _ := watch(t, p, targetsOf(check, all))
		id := IDOf(check, all[0])
		agree(t, p, watched, Agreement{ID: id, Verdict: Up})
		agree(t, p, watched, Agreement{ID: id, Verdict: Down})
		agree(t, p, watched, Agreement{ID: id, Uncertain: true})
		time.Sleep(2 * check.Confirm)
		expectText(t, "down again, not confirmed", agree(t, p, watched, Agreement{ID: id, Verdict: Down}), "up")
		time.Sleep(check.Confirm + time.Millisecond)
		expectText(t, "down, confirmed", stateOf(t, watched), "down")
		agree(t, p, watched, Agreement{ID: id, Verdict: Up})
		agree(t, p, watched, Agreement{ID: id, Uncertain: true})
		time.Sleep(2 * check.HoldDown)
		expectText(t, "up again, in hold_down", agree(t, p, watched, Agreement{ID: id, Verdict: Up}), "down")
		time.Sleep(check.HoldDown + 2*time.Second)
		expectText(t, "after hold_down", stateOf(t, watched), "up")
	})
}

func TestEachAgreementIsConfirmedInTime(t *testing.T) {
	vantage(t, func(t *testing.T, w *world, p *Prober, _ *opinionBook) {
		check, all := tcpCheck(), addrs(2)
		check.Confirm = 1500 * time.Millisecond
		for _, a := range all { // no result wakes the prober
			w.become(a, hangs)
		}
		first, _ := watch(t, p, targetsOf(check, all[:1]))
		second, _ := watch(t, p, targetsOf(check, all[1:]))
		agreed := func(i int, v Verdict) Agreement { return Agreement{ID: IDOf(check, all[i]), Verdict: v} }
		agree(t, p, first, agreed(0, Up))
		agree(t, p, second, agreed(1, Up))
		time.Sleep(100 * time.Millisecond)
		agree(t, p, first, agreed(0, Down))
		time.Sleep(200 * time.Millisecond)
		agree(t, p, second, agreed(1, Down))
		time.Sleep(check.Confirm + time.Millisecond)
		expectText(t, "the first", stateOf(t, first), "down")
		expectText(t, "the second", stateOf(t, second), "down")
	})
}

// A vantage that starts again votes at once by what it found before, and one failed probe does not change its vote.
func TestOpinionAfterRestartNeedsThreshold(t *testing.T) {
	check, all := tcpCheck(), addrs(1)
	for _, old := range []bool{false, true} { // the saved results are too old
		synctest.Test(t, func(t *testing.T) {
			w, book := newWorld(), &opinionBook{}
			start := func(saved []SavedTarget) (*Prober, func()) {
				p := NewProber(Options{Dial: w.dial, Logger: slog.New(slog.DiscardHandler), Opinions: book.add, Saved: saved})
				ctx, stop := context.WithCancel(t.Context())
				go p.Run(ctx)
				return p, func() { stop(); <-p.stopped }
			}
			p, stop := start(nil)
			watched, _ := watch(t, p, targetsOf(check, all))
			time.Sleep(3 * check.Interval)
			agree(t, p, watched, Agreement{ID: IDOf(check, all[0]), Verdict: Up})
			saved := p.Save()
			stop()
			book.take()
			// In the first time fewer probes than the threshold: the first one is at once without usable results, otherwise
			// within an interval; the second one within an interval.
			want, first := "up (passed)", 11*check.Interval/10
			if old {
				time.Sleep(10 * check.Interval)
				want, first = "unknown (no reason)", 8*check.Interval/10
			}
			w.become(all[0], refuses)
			p, stop = start(saved)
			defer func() { stop() }()
			watch(t, p, targetsOf(check, all))
			time.Sleep(first)
			expectText(t, "opinions after one failure", book.take(), want)
			time.Sleep(4 * check.Interval)
			expectText(t, "opinions after fall failures", book.take(), "down (failed)")
		})
	}
}

// An agreement that comes after its target was dropped is not kept.
func TestAgreementWithoutTargetIsNotKept(t *testing.T) {
	vantage(t, func(t *testing.T, _ *world, p *Prober, _ *opinionBook) {
		p.Agree([]Agreement{{ID: 7, Verdict: Up}})
		kept := -1
		p.call(func(o *scheduler) { kept = len(o.agreements) })
		if kept != 0 {
			t.Errorf("%d agreements kept, want none", kept)
		}
	})
}
