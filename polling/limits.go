// Package polling limits the polls of many targets, so that targets that stall do not delay the others.
package polling

import (
	"context"
	"sync"
	"time"
)

// Limits bounds the number of concurrent polls, separately for two kinds of targets:
//
//	the target      is      holds a slot of its kind
//	may be quick    prompt  until the poll ends, at most for the prompt time
//	has stalled     slow    until the poll ends
//
// At most as many polls of prompt targets as there are slots start in each prompt time; each continues without a slot
// until its timeout. Slots are given in the order of the requests. Its methods are safe for concurrent use.
type Limits struct {
	prompt, slow chan struct{} // an element for each slot in use
	promptTime   time.Duration
}

// NewLimits returns limits with so many slots of each kind.
func NewLimits(prompt, slow int, promptTime time.Duration) *Limits {
	return &Limits{make(chan struct{}, prompt), make(chan struct{}, slow), promptTime}
}

// Acquire waits for a slot; it returns false if ctx ended first. release may be called only once.
func (l *Limits) Acquire(ctx context.Context, slow bool) (release func(), ok bool) {
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
	early := time.AfterFunc(l.promptTime, once)
	return func() { early.Stop(); once() }, true
}
