package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// minInterval is the least time from one writing of the state to the next.
	minInterval = time.Second
	// backoffFactor is how many times as long as it took the last writing a pause is,
	// at least: a slow disk or a large state must not make writing all there is.
	backoffFactor = 20
	// refreshInterval is how old what is kept gets where nothing changes, about: when each
	// verdict was last confirmed is a part of it, and a verdict that nobody has
	// confirmed for long counts for less after a crash.
	refreshInterval = time.Minute
	// retryInterval is the pause after a writing that failed.
	retryInterval = 10 * time.Second
)

// flushTimeout is how long whoever waits for a writing waits at most.
const flushTimeout = 2 * time.Second

// stateWriter writes the state when something changed, at once when somebody waits
// for it, every minute otherwise, and at the end. Its own goroutine does so: a disk may take its time.
type stateWriter struct {
	dir    *stateDir
	gather func() ([]byte, error) // the state of this moment, as a file
	log    *slog.Logger

	verdicts <-chan struct{}      // delivers when a verdict changed
	changed  chan struct{}        // holds one element when something else did
	waiting  chan chan<- struct{} // each is closed after a writing that began later
	failing  atomic.Bool          // the last writing failed, and that was told
}

// markDirty says that something changed. It never waits.
func (k *stateWriter) markDirty() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// flush returns when what is so now has been written, or could not be, or when
// that takes too long.
func (k *stateWriter) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	written := make(chan struct{})
	select {
	case k.waiting <- written:
	case <-ctx.Done():
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// run keeps the state until ctx ends, then once more.
func (k *stateWriter) run(ctx context.Context) {
	var pause <-chan time.Time
	anew := time.NewTimer(refreshInterval)
	defer anew.Stop()
	for ctx.Err() == nil {
		verdicts, changed, old := k.verdicts, k.changed, anew.C
		if pause != nil {
			verdicts, changed, old = nil, nil, nil
		}
		var waiting chan<- struct{}
		select {
		case <-ctx.Done():
			continue
		case <-pause:
			pause = nil
			continue
		case <-verdicts:
		case <-changed:
		case <-old:
		case written := <-k.waiting:
			waiting = written
		}
		pause = time.After(k.write())
		anew.Reset(refreshInterval)
		if waiting != nil {
			close(waiting)
		}
	}
	k.write()
}

// write writes the state, and returns how long to wait before the next time. A
// failure is told once until it is over.
func (k *stateWriter) write() time.Duration {
	begun := time.Now()
	file, err := k.gather()
	if err == nil {
		err = k.dir.write(file)
	}
	took := time.Since(begun)
	failed := k.failing.Swap(err != nil)
	switch {
	case err != nil && !failed:
		k.log.Error("state cannot be kept; a restart would forget it, tries go on", "folder", k.dir.path, "error", err)
	case err == nil && failed:
		k.log.Info("state is kept again", "folder", k.dir.path)
	}
	if err != nil {
		k.markDirty()
		return retryInterval
	}
	return max(minInterval, backoffFactor*took)
}
