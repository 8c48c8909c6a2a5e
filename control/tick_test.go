package control

import (
	"testing"
	"time"
)

func TestUnsentAnswersAreReportedOnceAMinute(t *testing.T) {
	l, now := unsentLog{}, time.Unix(1e9, 0)
	for i, c := range []struct {
		after time.Duration
		total uint64
		want  uint64
	}{{0, 0, 0}, {time.Second, 5, 5}, {time.Second, 9, 0}, {time.Minute, 9, 4}, {time.Hour, 9, 0}, {0, 10, 1}} {
		now = now.Add(c.after)
		if got := l.due(c.total, now); got != c.want {
			t.Errorf("step %d: %d answers to report, want %d", i, got, c.want)
		}
	}
}
