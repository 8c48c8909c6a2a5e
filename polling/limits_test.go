package polling

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPollsOfPromptTargetsKeepTheirSlotOnlyForPromptTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(2, 1, time.Second)
		start := time.Now()
		var releases []func()
		for range 6 { // none of them ends
			release, ok := l.Acquire(t.Context(), false)
			if !ok {
				t.Fatal("no slot")
			}
			releases = append(releases, release)
		}
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("six polls started within %s, want 2s", waited)
		}
		for _, release := range releases {
			release()
		}
		if len(l.prompt) != 0 {
			t.Errorf("%d slots in use after all polls ended", len(l.prompt))
		}
	})
}

func TestPollsOfSlowTargetsKeepTheirSlotAndDoNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(1, 1, time.Second)
		release, _ := l.Acquire(t.Context(), true)
		if done, ok := l.Acquire(t.Context(), false); !ok {
			t.Error("a slow target delays a prompt one")
		} else {
			done()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, ok := l.Acquire(ctx, true); ok {
			t.Error("two slow targets hold the one slot")
		}
		release()
		if _, ok := l.Acquire(t.Context(), true); !ok {
			t.Error("the slot is not free after the poll ended")
		}
	})
}
