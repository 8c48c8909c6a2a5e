package loads

import (
	"context"
	"sync"
	"time"
)

const (
	maxPrompt = 128 // polls of prompt targets that hold a slot
	maxSlow   = 256 // polls of slow targets
	// promptTime is how long a poll of a prompt target holds its slot; a usual poll takes less.
	promptTime = 100 * time.Millisecond
)

// limits bounds the number of concurrent polls, separately for two kinds of targets, so that stalled targets do not
// delay those that report:
//
//	the target                            is      holds a slot of its kind
//	has a fresh report, or is new         prompt  until the poll ends, at most for promptTime
//	was polled, and has no fresh report   slow    until the poll ends
//
// A target that starts to stall is prompt until its last report is stale. At most maxPrompt such polls start in each
// promptTime, and each continues without a slot until its timeout. Slots are given in the order of the requests.
type limits struct {
	prompt, slow chan struct{} // an element for each slot in use
}

func newLimits() limits {
	return limits{make(chan struct{}, maxPrompt), make(chan struct{}, maxSlow)}
}

// acquire waits for a slot; it returns false if ctx ended first.
func (l *limits) acquire(ctx context.Context, slow bool) (release func(), ok bool) {
	slots := l.prompt
	if slow {
		slots = l.slow
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	if slow {
		return func() { <-slots }, true
	}
	once := sync.OnceFunc(func() { <-slots })
	early := time.AfterFunc(promptTime, once)
	return func() { early.Stop(); once() }, true
}
