package state

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

// flushTimeout is the maximum time that Flush waits.
const flushTimeout = 2 * time.Second

// Writer writes the state when something changed, at once for Flush, every minute otherwise, and
// at the end. It has a goroutine of its own, because a disk may be slow. Its methods are safe for
// concurrent use.
type Writer struct {
	dir     *Dir
	content func() ([]byte, error)
	log     *slog.Logger

	changes <-chan struct{}      // delivers when the caller's data changed
	dirty   chan struct{}        // holds one element when something else changed
	waiting chan chan<- struct{} // each is closed after a later write
	failing atomic.Bool          // the last write failed, and that was logged

	stop    context.CancelFunc
	stopped chan struct{} // closed after the last write
}

// Start starts writing to dir what content returns: now, on each change, and at Stop.
func Start(dir *Dir, content func() ([]byte, error), changes <-chan struct{}, log *slog.Logger) *Writer {
	w := newWriter(dir, content, changes, log)
	w.MarkDirty()
	w.start()
	return w
}

func newWriter(dir *Dir, content func() ([]byte, error), changes <-chan struct{}, log *slog.Logger) *Writer {
	return &Writer{
		dir: dir, content: content, log: log, changes: changes,
		dirty: make(chan struct{}, 1), waiting: make(chan chan<- struct{}), stopped: make(chan struct{}),
	}
}

func (w *Writer) start() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		defer close(w.stopped)
		defer w.dir.Unlock()
		w.run(ctx)
	}()
}

// Stop writes the state once more and unlocks the directory; the returned channel is closed then.
// A disk that hangs keeps the directory locked until it recovers.
func (w *Writer) Stop() (stopped <-chan struct{}) {
	w.stop()
	return w.stopped
}

// Dir returns the directory.
func (w *Writer) Dir() *Dir { return w.dir }

// Persisted reports whether the last write succeeded.
func (w *Writer) Persisted() bool { return !w.failing.Load() }

// MarkDirty requests a write. It never blocks.
func (w *Writer) MarkDirty() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// Flush waits until the current state has been written or could not be, for flushTimeout at most.
func (w *Writer) Flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	written := make(chan struct{})
	select {
	case w.waiting <- written:
	case <-ctx.Done():
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// run writes the state on changes until ctx ends, then once more.
func (w *Writer) run(ctx context.Context) {
	var pause <-chan time.Time
	refresh := time.NewTimer(refreshInterval)
	defer refresh.Stop()
	for ctx.Err() == nil {
		changes, dirty, old := w.changes, w.dirty, refresh.C
		if pause != nil {
			changes, dirty, old = nil, nil, nil
		}
		var waiting chan<- struct{}
		select {
		case <-ctx.Done():
			continue
		case <-pause:
			pause = nil
			continue
		case <-changes:
		case <-dirty:
		case <-old:
		case written := <-w.waiting:
			waiting = written
		}
		pause = time.After(w.write())
		refresh.Reset(refreshInterval)
		if waiting != nil {
			close(waiting)
		}
	}
	w.write()
}

// write writes the state and returns the pause before the next write. It logs a failure once, and
// the recovery.
func (w *Writer) write() time.Duration {
	begun := time.Now()
	content, err := w.content()
	if err == nil {
		err = w.dir.Write(content)
	}
	took := time.Since(begun)
	failed := w.failing.Swap(err != nil)
	switch {
	case err != nil && !failed:
		w.log.Error("cannot write state file; a restart would lose the state, retrying", "folder", w.dir.path, "error", err)
	case err == nil && failed:
		w.log.Info("state file written again", "folder", w.dir.path)
	}
	if err != nil {
		w.MarkDirty()
		return retryInterval
	}
	return max(minInterval, backoffFactor*took)
}
