package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// minInterval is the minimum time between two writes of the state.
	minInterval = time.Second
	// backoffFactor is the minimum ratio of a pause to the duration of the last write: a slow
	// disk or a large state must not keep the writer permanently busy.
	backoffFactor = 20
	// refreshInterval is the approximate maximum age of the saved state if nothing changes: it
	// includes when each verdict was last confirmed, and after a crash a verdict counts for less
	// the older that is.
	refreshInterval = time.Minute
	// retryInterval is the pause after a failed write.
	retryInterval = 10 * time.Second
)

// flushTimeout is the maximum time that flush waits.
const flushTimeout = 2 * time.Second

// stateWriter writes the state when something changed, at once for flush, every minute otherwise,
// and at the end. It has a goroutine of its own, because a disk may be slow.
type stateWriter struct {
	dir    *stateDir
	gather func() ([]byte, error) // the current state as a file
	log    *slog.Logger

	verdicts <-chan struct{}      // delivers when a verdict changed
	changed  chan struct{}        // holds one element when something else changed
	waiting  chan chan<- struct{} // each is closed after a later write
	failing  atomic.Bool          // the last write failed, and that was logged
}

// markDirty requests a write. It never blocks.
func (k *stateWriter) markDirty() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// flush waits until the current state has been written or could not be, for flushTimeout at most.
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

// run writes the state on changes until ctx ends, then once more.
func (k *stateWriter) run(ctx context.Context) {
	var pause <-chan time.Time
	refresh := time.NewTimer(refreshInterval)
	defer refresh.Stop()
	for ctx.Err() == nil {
		verdicts, changed, old := k.verdicts, k.changed, refresh.C
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
		refresh.Reset(refreshInterval)
		if waiting != nil {
			close(waiting)
		}
	}
	k.write()
}

// write writes the state and returns the pause before the next write. It logs a failure once, and
// the recovery.
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
		k.log.Error("cannot write state file; a restart would lose the state, retrying", "folder", k.dir.path, "error", err)
	case err == nil && failed:
		k.log.Info("state file written again", "folder", k.dir.path)
	}
	if err != nil {
		k.markDirty()
		return retryInterval
	}
	return max(minInterval, backoffFactor*took)
}
