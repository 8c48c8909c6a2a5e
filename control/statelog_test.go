package control

import (
	"fmt"
	"strings"
	"testing"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
)

// recordedSince returns the events after an id, as severity, kind, subject and message.
func recordedSince(events *event.Log, id uint64) string {
	var all []string
	for _, e := range events.Since(id, event.Filter{}, event.Size).Events {
		all = append(all, fmt.Sprintf("%s %s %s: %s", e.Severity, e.Kind, e.Subject, e.Message))
	}
	return strings.Join(all, "\n")
}

// TestReloadBeginsAndEndsProblems checks that each problem has one event when it begins and one when it ends, also if
// a reload is what begins or ends it.
func TestReloadBeginsAndEndsProblems(t *testing.T) {
	build := func(member string) *pools.Tree {
		return answertest.Build(t, strings.Replace(lone, "name: only", "name: "+member, 1), answertest.LoneZone).Pools
	}
	turn := func(tree *pools.Tree, from, to health.Verdict) []health.Transition {
		return []health.Transition{{Target: tree.Targets()[0], From: from, To: to, Reason: "why"}}
	}
	events := event.NewLog(nil)
	l := stateLog{events: events}
	seen := uint64(0)
	expect := func(when, want string) {
		t.Helper()
		if got := recordedSince(events, seen); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		seen = events.Last()
	}
	first, second, renamed, aborted := build("only"), build("only"), build("other"), build("only")

	l.prepare(first)
	l.apply(first, turn(first, health.Unknown, health.Down))
	expect("before the first configuration serves", "")
	l.serve(first)
	expect("at start", "warning state lone/only: down, was unknown: why")
	l.prepare(aborted)
	l.apply(aborted, turn(aborted, health.Unknown, health.Down))
	l.drop(aborted)
	l.prepare(second)
	l.apply(second, turn(second, health.Unknown, health.Down))
	l.serve(second)
	expect("a reload without a change", "")
	l.apply(first, turn(first, health.Down, health.Up))
	expect("a tree that no longer serves", "")
	l.apply(second, turn(second, health.Down, health.Uncertain))
	expect("no results", "warning state lone/only: uncertain, was down: why")
	l.prepare(renamed)
	l.apply(renamed, turn(renamed, health.Unknown, health.Down))
	l.serve(renamed)
	expect("the member has another name", "warning state lone/other: down, was unknown: why\ninfo state lone/only: no longer configured")
	l.apply(renamed, turn(renamed, health.Down, health.Up))
	expect("up", "info state lone/other: up, was down: why")
	l.apply(renamed, turn(renamed, health.Uncertain, health.Up))
	expect("up again after a restart restored the state as uncertain", "")
	l.apply(renamed, turn(renamed, health.Up, health.Uncertain))
	expect("no results again", "warning state lone/other: uncertain, was up: why")
	l.apply(renamed, turn(renamed, health.Uncertain, health.Up))
	expect("results again", "info state lone/other: up, was uncertain: why")
	if len(l.prepared) > 0 || len(l.reported) > 0 {
		t.Errorf("%d trees and %d problems are kept", len(l.prepared), len(l.reported))
	}
}

// TestStateOfSharedAddressIsFoundByEachMember checks the subject of a state change of an address that several members have,
// and the subjects that select it.
func TestStateOfSharedAddressIsFoundByEachMember(t *testing.T) {
	shared := func(pool, member string) string {
		return "  " + pool + ": {policy: weighted, check: tcp, members: [{name: " + member + ", addresses: [192.0.2.1]}]}\n"
	}
	text := strings.Replace(lone, "pools:\n", "pools:\n"+shared("zulu", "z"), 1)
	text = strings.Replace(text, "zones:\n", shared("alpha", "a")+"zones:\n", 1)
	tree := answertest.Build(t, text, answertest.LoneZone).Pools
	events := event.NewLog(nil)
	l := stateLog{events: events}
	l.prepare(tree)
	l.serve(tree)
	l.apply(tree, []health.Transition{{Target: tree.Targets()[0], From: health.Up, To: health.Down, Reason: "why"}})
	found := events.Since(0, event.Filter{}, 10).Events
	if len(found) != 1 || found[0].Subject != "zulu/z" || found[0].Fields[event.Members] != "lone/only alpha/a" {
		t.Fatalf("events %+v", found)
	}
	for subject, want := range map[string]int{"zulu": 1, "zulu/z": 1, "lone/only": 1, "alpha": 1, "alp": 0, "lone/on": 0, "other": 0} {
		if got := len(events.Since(0, event.Filter{Subject: subject}, 10).Events); got != want {
			t.Errorf("%d events of %s, want %d", got, subject, want)
		}
	}
}

// TestChangeBetweenModesEndsOneKind checks that the problem of one kind ends when the next begins.
func TestChangeBetweenModesEndsOneKind(t *testing.T) {
	for _, c := range []struct {
		from, to pools.Mode
		want     string
	}{
		{pools.Normal, pools.FailedOpen, "error fail_open web: mode fail-open for IPv4, was normal"},
		{pools.FailedOpen, pools.Normal, "info fail_open web: mode normal for IPv4, was fail-open"},
		{pools.Normal, pools.FallenBack, "warning mode web: mode fallback for IPv4, was normal"},
		{pools.FallenBack, pools.Dead, "error mode web: mode nodata for IPv4, was fallback"},
		{pools.FailedOpen, pools.FallenBack, "info fail_open web: mode fallback for IPv4, was fail-open\nwarning mode web: mode fallback for IPv4, was fail-open"},
		{pools.FallenBack, pools.FailedOpen, "info mode web: mode fail-open for IPv4, was fallback\nerror fail_open web: mode fail-open for IPv4, was fallback"},
	} {
		events := event.NewLog(nil)
		for _, e := range modeEvents(pools.Change{Pool: "web", From: c.from, To: c.to}) {
			events.Add(e)
		}
		if got := recordedSince(events, 0); got != c.want {
			t.Errorf("from %s to %s: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
