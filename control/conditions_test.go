package control

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const lone = `
checks:
  tcp: {type: tcp, port: 1}
pools:
  lone: {policy: failover, check: tcp, members: [{name: only, addresses: [192.0.2.1]}]}
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: lone}}
`

// TestModesAreLoggedOnceAcrossReloads checks that the begin and end of failing open are each logged
// once, with any number of reloads in between.
func TestModesAreLoggedOnceAcrossReloads(t *testing.T) {
	var out bytes.Buffer
	events, logged := event.NewLog(nil), 0
	l := conditions{reporter: reporter{slog.New(slog.NewTextHandler(&out, nil)), events}}
	lines := func() string {
		text := regexp.MustCompile(`(?m)^.*msg="pool mode" `).ReplaceAllString(out.String(), "")
		logged += strings.Count(text, "\n")
		out.Reset()
		return strings.TrimSpace(text)
	}
	turn := func(s *snapshot.Snapshot, v health.Verdict) {
		turns, err := s.Pools.SimulateVerdict("lone", "only", v)
		if err != nil {
			t.Fatal(err)
		}
		l.apply(s.Pools, func() []pools.Change { return s.Pools.Apply(turns) })
	}
	first, second, third := answertest.Build(t, lone, answertest.LoneZone), answertest.Build(t, lone, answertest.LoneZone), answertest.Build(t, lone, answertest.LoneZone)

	turn(first, health.Down) // before it serves
	if got := lines(); got != "" {
		t.Errorf("told of a tree that does not serve: %s", got)
	}
	l.serve(first.Pools)
	if got, want := lines(), "pool=lone family=IPv4 from=normal to=fail-open"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	turn(second, health.Down)
	l.serve(second.Pools)
	turn(first, health.Up) // the old one no longer serves
	if got := lines(); got != "" {
		t.Errorf("a reload told %q", got)
	}
	turn(second, health.Up)
	if got, want := lines(), "pool=lone family=IPv4 from=fail-open to=normal"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	turn(second, health.Down)
	lines()
	l.serve(third.Pools) // the reload itself ends the mode
	if got, want := lines(), "pool=lone family=IPv4 from=fail-open to=normal"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if all := events.Save(); len(all) != logged || all[0].Kind != event.FailOpen || all[0].Severity != event.Error || all[0].Subject != "lone" {
		t.Errorf("%d log lines, events %+v", logged, all)
	}
}
