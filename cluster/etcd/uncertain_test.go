package etcd

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"meridian/cluster/rollout"
)

// A write that etcd has refused was not made; one without an answer may have been.
func TestWriteWithoutAnAnswerIsUncertain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{context.DeadlineExceeded, true},
		{fmt.Errorf("rpc: %w", context.Canceled), true},
		{errors.New("connection reset"), true},
		{rpctypes.ErrTimeout, true},
		{rpctypes.ErrNoLeader, true},
		{rpctypes.ErrPermissionDenied, false},
		{rpctypes.ErrNoSpace, false},
		{rpctypes.ErrRequestTooLarge, false},
	} {
		err := explainWrite(c.err)
		if got := errors.As(err, new(*rollout.UncertainError)); got != c.want || !errors.Is(err, c.err) && !errors.Is(c.err, context.DeadlineExceeded) {
			t.Errorf("%v: %v, uncertain %v, want %v", c.err, err, got, c.want)
		}
	}
}
