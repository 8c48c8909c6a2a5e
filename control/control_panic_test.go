package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestPanicInTickIsLogged makes ticks panic without a snapshot: each is logged with its stack
// and leaves no lock held.
func TestPanicInTickIsLogged(t *testing.T) {
	var log bytes.Buffer
	c := &Control{reporter: reporter{log: slog.New(slog.NewTextHandler(&log, nil))}}
	for range 2 {
		c.Tick(time.Now())
		if !c.mu.TryLock() {
			t.Fatal("the lock is still held after a tick that panicked")
		}
		c.mu.Unlock()
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines logged, want one for each tick:\n%s", len(lines), log.String())
	}
	for _, line := range lines {
		for _, want := range []string{"level=ERROR", "in=tick", "(*Control).Tick"} {
			if !strings.Contains(line, want) {
				t.Errorf("the line lacks %q: %s", want, line)
			}
		}
	}
}
