package daemon

import (
	"fmt"
	"testing"
	"time"
)

// TestOpenWindowAppliesFromTheStart starts within a window, and restarts within it.
func TestOpenWindowAppliesFromTheStart(t *testing.T) {
	begin := time.Now().UTC().Add(-30 * time.Minute)
	text := steered + fmt.Sprintf("\nstate: %s\nmaintenance: {now: {targets: [web/a], start: %q, duration: 2h}}\n", t.TempDir(), begin.Format("15:04"))
	const drained = "web/a=drained web/b=up web/c=down web/off=disabled spare/all=live spare/own=up"
	r := start(t, text)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(time.Minute); r.states(t) != drained; <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("the window does not open: %s", r.states(t))
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, text)
	again.expect(t, "at the first answer after a restart", drained)
	if lines := again.log.with("maintenance began"); len(lines) > 0 {
		t.Errorf("the window begins again: %s", lines)
	}
}
