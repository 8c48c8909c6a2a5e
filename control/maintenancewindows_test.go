package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control/event/notify"
	"meridian/discovery"
	"meridian/health"
	"meridian/loads"
	"meridian/pools"
	"meridian/server"
	"meridian/server/answer"
	"meridian/snapshot"
)

const windowed = `
server: {listen: ["127.0.0.1:53"]}
admin: {listen: "127.0.0.1:8053"}
GUARDRAILS
regions: {east: {location: [0, 0]}, west: {location: [0, 90]}}
pools:
  web:
    policy: failover
    members: [{name: a, region: east, addresses: [192.0.2.1]}, {name: b, region: west, addresses: [192.0.2.2]}]
zones:
  example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com, names: {www: {pool: web}}}
maintenance:
  patching: {targets: ["region:east"], start: "02:30", duration: 2h, timezone: Europe/Berlin, reason: monthly patches}
`

// world is a Control that ticks and opens maintenance windows once a second of fake time.
type world struct {
	*Control
}

// inWorld runs f with a Control that serves a configuration from a time on. It restores saved overrides.
func inWorld(t *testing.T, at, text string, saved []Override, f func(w *world)) {
	t.Helper()
	begin, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(begin))
		log, first := slog.New(slog.DiscardHandler), built(t, text)
		prober := health.NewProber(health.Options{Dial: refuseDial, Logger: log})
		probing, stop := context.WithCancel(context.Background())
		c := New(server.New(first, server.Options{Logger: log}), log)
		notifier := notify.New(notify.Options{Events: c.Events(), Logger: log})
		c.Use(prober, notifier)
		go prober.Run(probing)
		c.Restore(Restored{Overrides: saved})
		w := &world{Control: c}
		w.load(t, first)
		go func() {
			for second := time.NewTicker(time.Second); probing.Err() == nil; <-second.C {
				c.Tick(time.Now())
				c.Maintain(time.Now())
			}
		}()
		f(w)
		notifier.Close()
		stop()
		time.Sleep(2 * time.Second)
	})
}

// built returns the snapshot of a configuration.
func built(t *testing.T, text string) *snapshot.Snapshot {
	t.Helper()
	cfg, warnings, err := config.Parse("meridian.yaml", []byte(strings.Replace(text, "GUARDRAILS", "", 1)))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	s, _, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// load serves another configuration, as a reload does.
func (w *world) load(t *testing.T, s *snapshot.Snapshot) {
	t.Helper()
	reports := loads.New(loads.Options{})
	tracker := discovery.New(discovery.Options{})
	watch, err := w.prober.Watch(s.Pools.Targets(), func([]health.Transition) {})
	if err != nil {
		t.Fatal(err)
	}
	following, err := reports.Follow(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Prepare(s.Pools, following)
	w.Commit(Generation{Users: NewUsers(func() {}), Snapshot: s, Watch: watch, Loads: following, Targets: tracker.Follow(nil, nil)})
	reports.Close()
	tracker.Close()
}

// expect waits until a time of the day, in UTC, and compares the states of the members and of the windows.
func (w *world) expect(t *testing.T, clock, want string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, clock)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(at) + time.Second/2)
	s, err := w.Status(Selector{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.Pools[0].Members {
		got = append(got, m.Member+"="+m.State)
	}
	for _, m := range s.Maintenance {
		got = append(got, fmt.Sprintf("%s=%s until %s", m.Name, m.State, m.End.UTC().Format("15:04")))
	}
	if got := strings.Join(got, " "); got != want {
		t.Errorf("at %s:\ngot  %s\nwant %s", clock, got, want)
	}
}

// expectEvents compares the events of overrides.
func (w *world) expectEvents(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, e := range w.Events().Save() {
		if e.Kind == "override" {
			got = append(got, fmt.Sprintf("%s: %s %s: %s", e.Time.UTC().Format("15:04:05"), e.Severity, e.Subject, e.Message))
		}
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("events:\n%s\nwant\n%s", a, b)
	}
}

func TestMaintenanceWindowDrainsItsTargets(t *testing.T) {
	inWorld(t, "2026-01-10T01:29:58Z", windowed, nil, func(w *world) {
		w.expect(t, "2026-01-10T01:29:59Z", "a=up b=up patching=waiting until 03:30")
		w.expect(t, "2026-01-10T01:30:01Z", "a=drained b=up patching=open until 03:30")
		s, err := w.Status(Selector{Pool: "web", Member: "a"})
		if err != nil || s.Pools[0].Members[0].Why != `by maintenance patching: region:east, "monthly patches"` {
			t.Errorf("%+v, %v", s.Pools[0].Members[0], err)
		}
		e := w.Explain(answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA, Client: netip.MustParsePrefix("203.0.113.1/32")})
		if reason := e.Steps[0].Reason; !strings.Contains(reason, "drained") || !strings.Contains(reason, "maintenance patching: monthly patches") {
			t.Errorf("explained as %q", reason)
		}
		w.expect(t, "2026-01-10T03:29:58Z", "a=drained b=up patching=open until 03:30")
		w.expect(t, "2026-01-10T03:30:01Z", "a=up b=up patching=waiting until 03:30")
		w.expectEvents(t,
			"01:30:00: warning region:east: drained began: maintenance patching: monthly patches",
			"03:30:00: info region:east: drained ended: maintenance patching: monthly patches")
	})
}

// TestWindowFollowsDaylightSavingTime covers the night in which Berlin skips 02:30, and the one with two of it.
func TestWindowFollowsDaylightSavingTime(t *testing.T) {
	inWorld(t, "2026-03-29T01:29:58Z", windowed, nil, func(w *world) { // 03:00 summer time was at 01:00 UTC
		w.expect(t, "2026-03-29T01:29:59Z", "a=up b=up patching=waiting until 03:30")
		w.expect(t, "2026-03-29T01:30:01Z", "a=drained b=up patching=open until 03:30")
		w.expect(t, "2026-03-29T03:30:01Z", "a=up b=up patching=waiting until 02:30")
	})
	inWorld(t, "2026-10-25T00:29:58Z", windowed, nil, func(w *world) { // the first 02:30; the clock is put back at 01:00 UTC
		w.expect(t, "2026-10-25T00:30:01Z", "a=drained b=up patching=open until 02:30")
		w.expect(t, "2026-10-25T01:30:01Z", "a=drained b=up patching=open until 02:30")
		w.expect(t, "2026-10-25T02:30:01Z", "a=up b=up patching=waiting until 03:30")
	})
}

// TestRestartWithinWindow restores the overrides of a window that is open, and of one that has ended.
func TestRestartWithinWindow(t *testing.T) {
	var saved []Override
	inWorld(t, "2026-01-10T01:29:58Z", windowed, nil, func(w *world) {
		w.expect(t, "2026-01-10T01:40:00Z", "a=drained b=up patching=open until 03:30")
		saved = w.Overrides()
	})
	inWorld(t, "2026-01-10T02:00:00Z", windowed, saved, func(w *world) {
		if got := w.currentView().Snapshot.Pools.Overrides(); len(got) != 1 {
			t.Errorf("before the first second: %+v", got)
		}
		w.expect(t, "2026-01-10T02:00:02Z", "a=drained b=up patching=open until 03:30")
		w.expect(t, "2026-01-10T03:30:01Z", "a=up b=up patching=waiting until 03:30")
		w.expectEvents(t, "03:30:00: info region:east: drained ended: maintenance patching: monthly patches")
	})
	inWorld(t, "2026-01-10T02:00:00Z", windowed, nil, func(w *world) { // without state
		w.expect(t, "2026-01-10T02:00:02Z", "a=drained b=up patching=open until 03:30")
	})
	inWorld(t, "2026-01-10T04:00:00Z", windowed, saved, func(w *world) {
		w.expect(t, "2026-01-10T04:00:02Z", "a=up b=up patching=waiting until 03:30")
	})
}

func TestReloadWithinWindow(t *testing.T) {
	inWorld(t, "2026-01-10T01:30:00Z", windowed, nil, func(w *world) {
		w.expect(t, "2026-01-10T01:40:00Z", "a=drained b=up patching=open until 03:30")
		w.load(t, built(t, windowed))
		w.expect(t, "2026-01-10T01:40:02Z", "a=drained b=up patching=open until 03:30")
		w.load(t, built(t, strings.Replace(windowed, "duration: 2h", "duration: 3h", 1)))
		w.expect(t, "2026-01-10T01:50:00Z", "a=drained b=up patching=open until 04:30")
		w.load(t, built(t, strings.Replace(windowed, `"region:east"]`, `"web/b"], weight: 20%`, 1)))
		w.expect(t, "2026-01-10T02:00:00Z", "a=up b=up patching=open until 03:30")
		if got := w.Overrides(); len(got) != 1 || got[0].Effect() != "at weight 20%" || got[0].Target.String() != "web/b" {
			t.Errorf("overrides %+v", got)
		}
		w.load(t, built(t, strings.Split(windowed, "maintenance:")[0]))
		w.expect(t, "2026-01-10T02:00:03Z", "a=up b=up")
		if got := w.Overrides(); len(got) != 0 {
			t.Errorf("overrides %+v", got)
		}
	})
}

// TestRefusedWindow covers a window that leaves a name without an answer until an operator ends a drain.
func TestRefusedWindow(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", windowed, nil, func(w *world) {
		b := Selector{Pool: "web", Member: "b"}
		if _, err := w.Override(b, pools.Drained, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "2026-01-10T01:35:00Z", "a=up b=drained patching=refused until 03:30")
		s, _ := w.Status(Selector{})
		if want := "maintenance patching would leave no answer for www.example.com."; s.Maintenance[0].Error != want {
			t.Errorf("refused: %q, want %q", s.Maintenance[0].Error, want)
		}
		if _, err := w.Undo(b, ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "2026-01-10T01:36:02Z", "a=drained b=up patching=open until 03:30")
		w.expectEvents(t,
			"01:00:00: warning web/b: drained set",
			"01:30:00: error maintenance patching: not opened: maintenance patching would leave no answer for www.example.com.",
			"01:35:00: info web/b: drained removed",
			"01:36:00: warning region:east: drained began: maintenance patching: monthly patches")
	})
	frozen := strings.Replace(windowed, "GUARDRAILS", "guardrails: {freeze: true}", 1)
	inWorld(t, "2026-01-10T01:30:00Z", frozen, nil, func(w *world) {
		w.expect(t, "2026-01-10T01:30:02Z", "a=up b=up patching=refused until 03:30")
		w.expect(t, "2026-01-10T03:30:02Z", "a=up b=up patching=waiting until 03:30")
	})
}

// TestOperatorHasPrecedenceOverWindow sets and removes an override of the target of an open window.
func TestOperatorHasPrecedenceOverWindow(t *testing.T) {
	inWorld(t, "2026-01-10T01:30:00Z", windowed, nil, func(w *world) {
		east := Selector{Region: "east"}
		w.expect(t, "2026-01-10T01:30:02Z", "a=drained b=up patching=open until 03:30")
		_, err := w.Undo(east, ChangeOptions{}, pools.Drained)
		if err == nil || !strings.HasPrefix(err.Error(), "region:east is drained by maintenance patching until ") {
			t.Errorf("undrain: %v", err)
		}
		if _, err := w.Override(east, pools.ReducedWeight, OverrideOptions{Value: "100%"}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "2026-01-10T01:40:00Z", "a=up b=up patching=open until 03:30")
		if _, err := w.Undo(east, ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "2026-01-10T01:40:02Z", "a=drained b=up patching=open until 03:30")
	})
}
