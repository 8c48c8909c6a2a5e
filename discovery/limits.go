package discovery

import (
	"context"
	"sync"
	"time"
)

const (
	maxPrompt = 64 // lookups of prompt targets that hold a slot
	maxSlow   = 64 // lookups of slow targets
	// promptTime is how long a lookup of a prompt target holds its slot; a usual lookup takes less.
	promptTime = 500 * time.Millisecond
)

// limits bounds the number of concurrent lookups, separately for two kinds of targets, so that targets whose servers do
// not respond do not delay those that can be resolved:
//
//	the target                         is      holds a slot of its kind
//	is new, or was resolved last time  prompt  until the lookup ends, at most for promptTime
//	could not be resolved last time    slow    until the lookup ends
//
// At most maxPrompt lookups of prompt targets start in each promptTime; each continues without a slot until its timeout.
// Slots are given in the order of the requests.
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
	once := sync.OnceFunc(func() { <-slots })
	if slow {
		return once, true
	}
	early := time.AfterFunc(promptTime, once)
	return func() { early.Stop(); once() }, true
}
