package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Patience is how long a watch of the store goes on without a record:
//
//	no record for        the store                                   then
//	-------------------  ------------------------------------------  ---------------------------
//	Quiet                answers a question within Answer            the watch goes on
//	Quiet                does not, and no record comes               it is lost
//	End                  answers, but the watch receives no record   the watch begins again
//
// A client of etcd does not report that its connection is lost: it waits, and makes another one.
type Patience struct {
	Quiet, Answer, End time.Duration
}

const (
	// endHeartbeats is how many heartbeats of this node may be missing in a watch, although the store answers.
	endHeartbeats = 3
	// leastAnswer is the least time for an answer of the store: one on another continent is slow, and not lost.
	leastAnswer = 300 * time.Millisecond
)

// PatienceOf returns the patience of a vantage with these settings. While a node waits, the last heartbeats of the others grow
// old: that of another vantage is up to a heartbeat older than the last record. The loss of the store is noticed in four fifths of
// the time until the first of them is stale; in the rest the nodes ask each other. So the loss of the store alone makes no vantage
// stale, unless leastAnswer takes the rest.
func PatienceOf(heartbeat time.Duration, stale int) Patience {
	left := time.Duration(stale-1) * heartbeat
	return Patience{
		Quiet:  min(3*left/5, 2*heartbeat),
		Answer: max(min(left/5, heartbeat), leastAnswer),
		End:    endHeartbeats * heartbeat,
	}
}

// Await waits until the store is lost or the watch must begin again, and returns why. A value of heard, of capacity 1, is a
// record; ask asks the store, and obeys its context.
func (p Patience) Await(ctx context.Context, heard <-chan struct{}, ask func(context.Context) error) error {
	last := time.Now()
	timer := time.NewTimer(p.Quiet)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-heard:
			last = time.Now()
			timer.Reset(p.Quiet)
			continue
		case <-timer.C:
		}
		if time.Since(last) >= p.End {
			return fmt.Errorf("no record for %v, although etcd answers", p.End)
		}
		err := p.ask(ctx, ask)
		select {
		case <-heard:
			last, err = time.Now(), nil
		default:
		}
		if err != nil {
			return fmt.Errorf("no record for %v, and etcd does not answer: %w", time.Since(last).Round(time.Millisecond), err)
		}
		timer.Reset(min(p.Quiet, p.End-time.Since(last)))
	}
}

// ask asks the store within the time for its answer.
func (p Patience) ask(ctx context.Context, ask func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, p.Answer)
	defer cancel()
	err := ask(within)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("no answer in %v", p.Answer)
	}
	return err
}
