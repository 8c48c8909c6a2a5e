package discovery

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// withWatcher runs test in a synctest bubble, with a watcher that queries book and writes to log.
func withWatcher(t *testing.T, entries map[string][]string, test func(t *testing.T, tracker *Watcher, b *book, log *journal)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, log := newBook(entries), new(journal)
		tracker := New(Options{Dial: upstream(b.answer).dial, Logger: log.logger()})
		defer tracker.Close()
		test(t, tracker, b, log)
	})
}

// follow makes tracker follow targets and waits for the first round.
func follow(tracker *Watcher, names ...config.Target) *Watch {
	f := tracker.Follow(servers("192.0.2.53:53"), names)
	f.FirstRound(context.Background())
	return f
}

// addressesOf returns the current addresses of a target.
func addressesOf(f *Watch, name config.Target) string { return list(f.Addresses()[name].Addresses) }

// wait lets synthetic time pass.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// hasChanged reports whether tracker delivers a change.
func hasChanged(tracker *Watcher) bool {
	select {
	case <-tracker.Changes():
		return true
	default:
		return false
	}
}

func TestTargetIsLookedUpAgainAfterItsTTL(t *testing.T) {
	withWatcher(t, map[string][]string{
		"lb.example. A":    {"lb.example. 60 A 192.0.2.1"},
		"lb.example. AAAA": {"lb.example. 100 AAAA 2001:db8::1"},
	}, func(t *testing.T, tracker *Watcher, b *book, log *journal) {
		f := follow(tracker, "lb.example.")
		begun := time.Now()
		expect(t, "at first", addressesOf(f, "lb.example."), "192.0.2.1 2001:db8::1")
		expect(t, "since", f.Addresses()["lb.example."].Since, begun)
		expect(t, "told", hasChanged(tracker), true)
		expect(t, "log", log.take(), `level=INFO msg="target resolved" target=lb.example. addresses="192.0.2.1 2001:db8::1" added="192.0.2.1 2001:db8::1" removed=none`+"\n")
		expect(t, "questions", b.count(), 2)

		b.set("lb.example. A", "lb.example. 60 A 192.0.2.1", "lb.example. 60 A 192.0.2.2")
		wait(60*time.Second - 1)
		expect(t, "before the shorter TTL ends", b.count(), 0)
		wait(6*time.Second + 1)
		expect(t, "after, with the jitter", b.count(), 2)
		expect(t, "then", addressesOf(f, "lb.example."), "192.0.2.1 192.0.2.2 2001:db8::1")
		if since := f.Addresses()["lb.example."].Since.Sub(begun); since < time.Minute || since > 66*time.Second {
			t.Errorf("since %v", since)
		}
		expect(t, "told again", hasChanged(tracker), true)
		expect(t, "log", log.take(), `level=INFO msg="target resolved" target=lb.example. addresses="192.0.2.1 192.0.2.2 2001:db8::1" added=192.0.2.2 removed=none`+"\n")

		wait(10 * time.Minute)
		expect(t, "told without a change", hasChanged(tracker), false)
		expect(t, "log", log.take(), "")
	})
}

// Known addresses stay in use during failures; the log reports the start and the end once each.
func TestAddressesStayWhileLookupsFail(t *testing.T) {
	for reason, answer := range map[string]string{
		"response code SERVFAIL": "SERVFAIL",
		"response code REFUSED":  "REFUSED",
		"response code NXDOMAIN": "NXDOMAIN",
		"no answer over udp":     "silence",
		"it has no address":      "lb.example. 60 TXT x",
	} {
		withWatcher(t, map[string][]string{
			"lb.example. A":    {"lb.example. 10 A 192.0.2.1"},
			"lb.example. AAAA": {"lb.example. 10 AAAA 2001:db8::1"},
		}, func(t *testing.T, tracker *Watcher, b *book, log *journal) {
			f := follow(tracker, "lb.example.")
			log.take()
			hasChanged(tracker)
			b.set("lb.example. A", answer)
			b.set("lb.example. AAAA", answer)
			wait(time.Hour)
			expect(t, reason, addressesOf(f, "lb.example."), "192.0.2.1 2001:db8::1")
			expect(t, reason+": told", hasChanged(tracker), false)
			got := log.take()
			if strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=ERROR msg="target cannot be resolved; keeping its known addresses" target=lb.example. addresses="192.0.2.1 2001:db8::1" reason="A: `) || !strings.Contains(got, reason) {
				t.Errorf("%s: log %q", reason, got)
			}
			if n := b.count(); n < 60*2 || n > 75*2*rounds {
				t.Errorf("%s: %d questions in an hour, want one lookup a minute and some at first", reason, n)
			}

			b.set("lb.example. A", "lb.example. 3600 A 192.0.2.1")
			b.set("lb.example. AAAA", "lb.example. 3600 AAAA 2001:db8::1")
			wait(70 * time.Second)
			if got := log.take(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, `level=INFO msg="target can be resolved again" target=lb.example. failures=`) {
				t.Errorf("%s: log %q", reason, got)
			}
			b.count()
			wait(58 * time.Minute) // the answer may be 69 seconds old by now
			expect(t, reason+": questions before the TTL ends", b.count(), 0)
		})
	}
}

func TestFailedFamilyKeepsItsAddresses(t *testing.T) {
	withWatcher(t, map[string][]string{
		"lb.example. A":    {"lb.example. 10 A 192.0.2.1"},
		"lb.example. AAAA": {"lb.example. 10 AAAA 2001:db8::1"},
	}, func(t *testing.T, tracker *Watcher, b *book, _ *journal) {
		f := follow(tracker, "lb.example.")
		b.set("lb.example. A", "lb.example. 10 A 192.0.2.2")
		b.set("lb.example. AAAA", "SERVFAIL")
		wait(time.Minute)
		expect(t, "the other one moves on", addressesOf(f, "lb.example."), "192.0.2.2 2001:db8::1")
	})
}

// A family without records is removed; only a name without any address keeps its addresses.
func TestFamilyWithoutRecordsIsRemoved(t *testing.T) {
	withWatcher(t, map[string][]string{
		"lb.example. A":    {"lb.example. 10 A 192.0.2.1"},
		"lb.example. AAAA": {"lb.example. 10 AAAA 2001:db8::1"},
	}, func(t *testing.T, tracker *Watcher, b *book, _ *journal) {
		f := follow(tracker, "lb.example.")
		b.set("lb.example. AAAA")
		wait(time.Minute)
		expect(t, "addresses", addressesOf(f, "lb.example."), "192.0.2.1")
	})
}

func TestFirstFailureIsRetriedSoon(t *testing.T) {
	withWatcher(t, map[string][]string{
		"lb.example. A": {"SERVFAIL"}, "lb.example. AAAA": {"SERVFAIL"},
	}, func(t *testing.T, tracker *Watcher, b *book, log *journal) {
		f := tracker.Follow(servers("192.0.2.53:53"), []config.Target{"lb.example."})
		expect(t, "unresolved", f.FirstRound(t.Context()), 1)
		expect(t, "addresses", len(f.Addresses()), 0)
		if got := log.take(); !strings.Contains(got, "it has no address yet") || strings.Contains(got, "addresses=") {
			t.Errorf("log %q", got)
		}
		b.set("lb.example. A", "lb.example. 10 A 192.0.2.1")
		b.set("lb.example. AAAA")
		wait(1100 * time.Millisecond)
		expect(t, "addresses", addressesOf(f, "lb.example."), "192.0.2.1")
	})
}

func TestFirstRoundEndsWithItsContext(t *testing.T) {
	withWatcher(t, map[string][]string{
		"slow.example. A": {"silence"}, "slow.example. AAAA": {"silence"},
		"fast.example. A": {"fast.example. 60 A 192.0.2.1"},
	}, func(t *testing.T, tracker *Watcher, _ *book, _ *journal) {
		f := tracker.Follow(servers("192.0.2.53:53"), []config.Target{"slow.example.", "fast.example."})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		expect(t, "unresolved", f.FirstRound(ctx), 1)
		expect(t, "waited", time.Since(begun), time.Second)
		expect(t, "the others are known", addressesOf(f, "fast.example."), "192.0.2.1")
	})
}

// A reload closes the old Watch after the new one is open.
func TestFollowedTargetKeepsItsAddresses(t *testing.T) {
	withWatcher(t, map[string][]string{"lb.example. A": {"lb.example. 60 A 192.0.2.1"}}, func(t *testing.T, tracker *Watcher, b *book, _ *journal) {
		before := follow(tracker, "lb.example.", "lb.example.", "old.example.")
		b.count()
		after := tracker.Follow(servers("192.0.2.53:53"), []config.Target{"lb.example.", "new.example."})
		expect(t, "known at once", addressesOf(after, "lb.example."), "192.0.2.1")
		before.Close()
		before.Close()
		after.FirstRound(t.Context())
		synctest.Wait()
		expect(t, "only what is new is asked for", b.count(), 2)
		wait(time.Hour)
		for _, key := range b.asked {
			if strings.HasPrefix(key, "old.") {
				t.Error("a target without followers is queried")
			}
		}
		after.Close()
		wait(time.Second)
		b.count()
		wait(time.Hour)
		expect(t, "questions when nobody follows", b.count(), 0)
	})
}

func TestChangedServersStartWithKnownAddresses(t *testing.T) {
	withWatcher(t, map[string][]string{"lb.example. A": {"lb.example. 60 A 192.0.2.1"}}, func(t *testing.T, tracker *Watcher, b *book, _ *journal) {
		before := follow(tracker, "lb.example.")
		b.set("lb.example. A", "SERVFAIL")
		after := tracker.Follow(servers("192.0.2.54:53"), []config.Target{"lb.example."})
		before.Close()
		expect(t, "unresolved", after.FirstRound(t.Context()), 0)
		expect(t, "addresses", addressesOf(after, "lb.example."), "192.0.2.1")
	})
}

func TestIgnoredAddressesAreLoggedOnce(t *testing.T) {
	records := []string{"lb.example. 10 A 0.0.0.0"}
	for i := range maxAddresses + 3 {
		records = append(records, "lb.example. 10 A "+numbered(i).String())
	}
	withWatcher(t, map[string][]string{"lb.example. A": records}, func(t *testing.T, tracker *Watcher, _ *book, log *journal) {
		f := follow(tracker, "lb.example.")
		expect(t, "addresses", len(f.Addresses()["lb.example."].Addresses), maxAddresses)
		wait(time.Hour)
		got := log.take()
		for _, line := range []string{
			`level=WARN msg="target has unusable addresses; ignoring them" target=lb.example. addresses=0.0.0.0` + "\n",
			`level=WARN msg="target has too many addresses; ignoring the rest" target=lb.example. limit=64 ignored=3` + "\n",
		} {
			if strings.Count(got, line) != 1 {
				t.Errorf("want once %q in %q", line, got)
			}
		}
	})
}

func TestConcurrentLookupsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []config.Target
		for i := range 3 * maxPrompt {
			names = append(names, config.Target("lb"+numbered(i).String()+".example."))
		}
		b := newBook(map[string][]string{})
		for _, name := range names {
			b.set(string(name)+" A", "silence")
			b.set(string(name)+" AAAA", "silence")
		}
		tracker := New(Options{Dial: upstream(b.answer).dial, Logger: new(journal).logger()})
		defer tracker.Close()
		tracker.Follow(servers("192.0.2.53:53"), names)
		synctest.Wait()
		expect(t, "questions under way", b.count(), 2*maxPrompt)
		wait(rounds*tryTimeout + time.Millisecond)
		expect(t, "questions of the next", b.count() >= 2*maxPrompt, true)
	})
}

// TestSilentTargetsDoNotDelayOthers follows many targets without answers to their lookups, and then one
// that can be resolved.
func TestSilentTargetsDoNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent []config.Target
		b := newBook(map[string][]string{"good.example. A": {"good.example. 1 A 192.0.2.1"}, "good.example. AAAA": {}})
		for i := range 3 * maxSlow {
			name := config.Target("lb" + numbered(i).String() + ".example.")
			silent = append(silent, name)
			b.set(string(name)+" A", "silence")
			b.set(string(name)+" AAAA", "silence")
		}
		tracker := New(Options{Dial: upstream(b.answer).dial, Logger: new(journal).logger()})
		defer tracker.Close()
		tracker.Follow(servers("192.0.2.53:53"), silent)
		wait(2 * time.Minute)
		for range 20 {
			f := tracker.Follow(servers("192.0.2.53:53"), []config.Target{"good.example."})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			expect(t, "unresolved", f.FirstRound(ctx), 0)
			cancel()
			f.Close()
			wait(time.Second)
		}
	})
}

func TestCloseEndsRunningLookups(t *testing.T) {
	withWatcher(t, map[string][]string{"lb.example. A": {"silence"}}, func(t *testing.T, tracker *Watcher, _ *book, _ *journal) {
		f := tracker.Follow(servers("192.0.2.53:53"), []config.Target{"lb.example."})
		synctest.Wait()
		begun := time.Now()
		tracker.Close()
		expect(t, "waited", time.Since(begun), 0)
		expect(t, "unresolved", f.FirstRound(t.Context()), 1)
		f.Close()
	})
}

func TestListHasBothFamilies(t *testing.T) {
	a := addresses{{{addr: netip.MustParseAddr("192.0.2.1")}}, {{addr: netip.MustParseAddr("::1")}}}
	expect(t, "list", list(a.list()), "192.0.2.1 ::1")
	expect(t, "any", a.any(), true)
	expect(t, "none", (&addresses{}).any(), false)
}
