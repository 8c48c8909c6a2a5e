package control

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"meridian/control/event"
)

// TestFailedUpgradeWithoutItsClientIsRecorded ends the waiting of a client before the outcome of its upgrade: a failure is
// in the audit records with the operator, a success is not, because the new process records it.
func TestFailedUpgradeWithoutItsClientIsRecorded(t *testing.T) {
	for _, test := range []struct {
		outcome UpgradeOutcome
		want    string
	}{
		{UpgradeOutcome{Err: errors.New("the new process ended")}, "upgrade by ann: failed: the new process ended"},
		{UpgradeOutcome{Upgraded: &Upgraded{}}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(nil, slog.New(slog.DiscardHandler))
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan error, 1)
			go func() {
				_, err := c.Upgrade(ctx, UpgradeRequest{Audit: &Audit{Who: "ann", What: "upgrade", Result: "done"}})
				left <- err
			}()
			request := <-c.Upgrades()
			leave()
			if err := <-left; !errors.Is(err, ErrNotAwaited) {
				t.Errorf("error %v", err)
			}
			request.Answer(test.outcome)
			synctest.Wait()
			got := ""
			for _, e := range c.Events().Save() {
				if e.Kind == event.Audit {
					got += e.Message
				}
			}
			if got != test.want {
				t.Errorf("audit %q, want %q", got, test.want)
			}
		})
	}
}
