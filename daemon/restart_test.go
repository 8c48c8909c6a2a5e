package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/control/event"
)

// problemsOf returns the events about endpoints and pools, and since when each pool has its mode and liveness.
func problemsOf(t *testing.T, r *runningDaemon) (events, since string) {
	t.Helper()
	var all strings.Builder
	for _, e := range r.Events().Save() {
		if e.Kind != event.Config {
			fmt.Fprintln(&all, e.ID, e.Time.UTC().Format(time.RFC3339Nano), e.Kind, e.Subject, e.Message)
		}
	}
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range status.Pools {
		since += fmt.Sprintln(p.Pool, p.Mode["IPv4"], p.ModeSince["IPv4"].UTC(), p.LiveSince["IPv4"].UTC())
	}
	return all.String(), since
}

// TestRestartRepeatsNoEvents checks that problems that last are neither reported again after a restart nor begin again.
func TestRestartRepeatsNoEvents(t *testing.T) {
	text := nestedPools + "\nstate: " + t.TempDir() + "\n"
	first := start(t, text)
	events, since := problemsOf(t, first)
	for _, want := range []string{"state good/b down, was unknown", "fail_open bad mode fail-open"} {
		if !strings.Contains(events, want) {
			t.Fatalf("no event %q:\n%s", want, events)
		}
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, text)
	gotEvents, gotSince := problemsOf(t, again)
	if gotEvents != events {
		t.Errorf("after a restart the events are\n%s\nwant those before it:\n%s", gotEvents, events)
	}
	if gotSince != since {
		t.Errorf("after a restart\n%s\nwant as before it:\n%s", gotSince, since)
	}
	if modes := again.log.with("pool mode"); len(modes) > 0 {
		t.Errorf("logged %q", modes)
	}
}
