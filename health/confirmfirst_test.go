package health

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// failsOnce fails the first connection and accepts the others.
func failsOnce() behaviour {
	failed := false
	return func(ctx context.Context) (net.Conn, error) {
		if !failed {
			failed = true
			return nil, errors.New("connection reset by peer")
		}
		return accepts(ctx)
	}
}

func TestLostFirstProbeOfAddedTargetIsRepeated(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		check, all := tcpCheck(), addrs(4)
		w.become(all[0], failsOnce())
		_, l := watch(t, p, targetsOf(check, all[:1]))
		time.Sleep(time.Millisecond)
		wantTransitions(t, l.take(), "0 unknown->down: connection reset by peer") // at a start the first result decides

		p.ConfirmFirst()
		w.become(all[1], failsOnce())
		w.become(all[2], refuses)
		added, l := watch(t, p, targetsOf(check, all[1:]))
		if unknown := added.FirstRound(t.Context()); unknown > 0 {
			t.Errorf("%d without a verdict", unknown)
		}
		time.Sleep(time.Millisecond)
		got := map[int]string{}
		for _, transition := range l.take() {
			got[transition.Index] += transition.From.String() + "->" + transition.To.String()
		}
		if got[0] != "unknown->up" || got[1] != "unknown->down" || got[2] != "unknown->up" || len(got) != 3 {
			t.Errorf("transitions of added targets: %v", got)
		}
		if n := len(w.dialled(all[2])); n != 2 {
			t.Errorf("%d probes of a target that is down, want 2 at once", n)
		}
	})
}
