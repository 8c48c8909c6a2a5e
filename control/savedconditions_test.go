package control

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
)

// TestConditionsAreRestored checks that all kinds of conditions are the same after they were saved and restored.
func TestConditionsAreRestored(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := SavedConditions{
		States:   []SavedProblem{{"web/a", "tcp", netip.MustParseAddr("192.0.2.1")}, {"web/b", "tcp", netip.MustParseAddr("192.0.2.2")}},
		Modes:    []SavedMode{{"mail", "IPv6", "nodata"}, {"web", "IPv4", "fail-open"}, {"web", "IPv6", "fallback"}},
		Lost:     []SavedRegion{{"web", "east", "IPv4"}, {"web", "west", "IPv4"}},
		Deferred: []SavedDeferral{{"web", "a", at, "why"}, {"web", "b", at, "why"}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var read, got SavedConditions
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	read.Modes = append(read.Modes, SavedMode{"web", "IPv4", "of another version"})
	var l stateLog
	var c conditions
	l.restore(read.States)
	c.restore(&read)
	got.States = l.save()
	c.save(&got)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestRestartContinuesProblems checks what is recorded of a problem that the previous process has recorded.
func TestRestartContinuesProblems(t *testing.T) {
	type change struct{ from, to health.Verdict }
	for name, c := range map[string]struct {
		before, after []change // the tree serves
		want          string
	}{
		"still down":               {before: []change{{health.Unknown, health.Down}}},
		"no result, then down":     {after: []change{{health.Unknown, health.Down}}},
		"no result, then up":       {after: []change{{health.Unknown, health.Up}}, want: "info state lone/only: up, was unknown: why"},
		"up at the first probe":    {before: []change{{health.Unknown, health.Up}}, want: "info state lone/only: up, was unknown: why"},
		"up before it serves":      {before: []change{{health.Unknown, health.Down}, {health.Down, health.Up}}, want: "info state lone/only: up, was down: why"},
		"up when it serves":        {before: []change{{health.Unknown, health.Down}}, after: []change{{health.Down, health.Up}}, want: "info state lone/only: up, was down: why"},
		"up and down":              {before: []change{{health.Unknown, health.Up}, {health.Up, health.Down}}},
		"no result yet":            {},
		"no result, then no trust": {after: []change{{health.Unknown, health.Uncertain}}},
	} {
		t.Run(name, func(t *testing.T) {
			events := event.NewLog(nil)
			l, tree := stateLog{events: events}, answertest.Build(t, lone, answertest.LoneZone).Pools
			apply := func(changes []change) {
				for _, c := range changes {
					l.apply(tree, []health.Transition{{Target: tree.Targets()[0], From: c.from, To: c.to, Reason: "why"}})
				}
			}
			target := tree.Targets()[0]
			l.restore([]SavedProblem{{"lone/only", target.Check.Name, target.Addr}})
			l.prepare(tree)
			apply(c.before)
			l.serve(tree)
			apply(c.after)
			if got := recordedSince(events, 0); got != c.want {
				t.Errorf("recorded %q, want %q", got, c.want)
			}
		})
	}
}

// TestRestartEndsRestoredConditions checks that restored conditions that are over when the first tree serves end with
// an event.
func TestRestartEndsRestoredConditions(t *testing.T) {
	events := event.NewLog(nil)
	c := conditions{reporter: reporter{slog.New(slog.DiscardHandler), events}}
	c.restore(&SavedConditions{
		Modes: []SavedMode{{"lone", pools.IPv4.String(), pools.FailedOpen.String()}}, Lost: []SavedRegion{{"lone", "east", "IPv4"}},
		Deferred: []SavedDeferral{{Pool: "lone", Member: "only", Reason: "why"}},
	})
	c.serve(answertest.Build(t, lone, answertest.LoneZone).Pools)
	want := "info fail_open lone: mode normal for IPv4, was fail-open\ninfo spill lone: east: recovered, spillover ended\ninfo ejection lone/only: deferred ejection ended: why"
	if got := recordedSince(events, 0); got != want {
		t.Errorf("recorded %q\nwant %q", got, want)
	}
}
