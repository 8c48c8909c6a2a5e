package control

import (
	"strings"
	"testing"
	"time"

	"meridian/pools"
)

var (
	memberA = Selector{Pool: "web", Member: "a"}
	memberB = Selector{Pool: "web", Member: "b"}
)

// plain is the configuration without a maintenance window.
var plain = strings.Split(windowed, "maintenance:")[0]

// mustSchedule schedules a drain for an hour.
func (w *world) mustSchedule(t *testing.T, target Selector, at string, o ChangeOptions) {
	t.Helper()
	begin, err := time.Parse(time.RFC3339, at)
	if err == nil {
		_, err = w.Override(target, pools.Drained, OverrideOptions{At: begin, For: time.Hour, Reason: "planned", ChangeOptions: o})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestScheduledDrain(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		if _, err := w.Override(memberA, pools.Drained, OverrideOptions{At: time.Now()}); err == nil {
			t.Error("a drain is scheduled for the past")
		}
		w.mustSchedule(t, memberA, "2026-01-10T03:00:00Z", ChangeOptions{})
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{}) // replaces it
		w.expect(t, "2026-01-10T01:59:58Z", "a=up b=up")
		if got := w.Overrides(); len(got) != 1 || !got[0].IsScheduled() {
			t.Errorf("%+v", got)
		} else if r := got[0].Replaced; r == nil || r.Reason != "planned" || r.At.UTC().Hour() != 3 {
			t.Errorf("replaced %+v", r)
		}
		w.expect(t, "2026-01-10T02:00:01Z", "a=drained b=up")
		w.expect(t, "2026-01-10T02:59:58Z", "a=drained b=up")
		w.expect(t, "2026-01-10T03:00:01Z", "a=up b=up")
		w.expectEvents(t,
			"01:00:00: info web/a: drained scheduled: planned",
			"01:00:00: info web/a: drained scheduled: planned",
			"02:00:00: warning web/a: drained set, as scheduled: planned",
			"03:00:00: info web/a: drained expired: planned")
	})
}

func TestUndrainCancelsScheduledDrain(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{})
		if _, err := w.Override(memberA, pools.ForcedUp, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		if undone, err := w.Undo(memberA, ChangeOptions{}, pools.Drained); err != nil || !undone.IsScheduled() {
			t.Errorf("undrained %+v, %v", undone, err)
		}
		w.expect(t, "2026-01-10T02:00:02Z", "a=forced up b=up")
	})
}

// TestScheduledDrainSurvivesRestart restores it before its time, within its time, and after it.
func TestScheduledDrainSurvivesRestart(t *testing.T) {
	var saved []Override
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{})
		saved = w.Overrides()
	})
	for begin, want := range map[string]string{
		"2026-01-10T01:30:00Z": "a=up b=up", "2026-01-10T02:30:00Z": "a=drained b=up", "2026-01-10T03:30:00Z": "a=up b=up",
	} {
		inWorld(t, begin, plain, saved, func(w *world) { w.expect(t, begin[:17]+"02Z", want) })
	}
}

// TestGuardsBindScheduledDrain covers a drain that would leave a name without an answer at its time.
func TestGuardsBindScheduledDrain(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{})
		if _, err := w.Override(memberB, pools.Drained, OverrideOptions{For: 65 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "2026-01-10T02:03:02Z", "a=up b=drained")
		if got := w.Overrides(); got[0].Error != "draining web/a would leave no answer for www.example.com." {
			t.Errorf("%+v", got)
		}
		w.expect(t, "2026-01-10T02:06:02Z", "a=drained b=up")
		w.expectEvents(t,
			"01:00:00: info web/a: drained scheduled: planned",
			"01:00:00: warning web/b: drained set",
			"02:00:00: error web/a: drained not set: planned: draining web/a would leave no answer for www.example.com.",
			"02:05:00: info web/b: drained expired",
			"02:05:00: warning web/a: drained set, as scheduled: planned")
	})
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{Force: true})
		if _, err := w.Override(memberB, pools.Drained, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "2026-01-10T02:00:02Z", "a=drained b=drained")
	})
}
