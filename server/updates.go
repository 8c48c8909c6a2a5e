package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// startUpdates starts the goroutines that apply load reports, and changes of targets and of
// round trips, to the pools. A reload that is being built, or that hangs, does not delay
// them. The function that it returns waits for their end, which follows that of ctx.
func (l *instance) startUpdates(ctx context.Context) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() { l.updateLoads(ctx) })
	running.Go(func() { l.updatePools(ctx) })
	return func() {
		ended := make(chan struct{})
		go func() { running.Wait(); close(ended) }()
		l.waitOrLog(ended, "the updates of the pools")
	}
}

// updateLoads applies load reports as they come, those of loadPause together.
func (l *instance) updateLoads(ctx context.Context) {
	var due <-chan time.Time // nil: the reports are those that the pools have
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.poller.Changes():
			if due == nil {
				due = time.After(loadPause)
			}
		case <-due:
			due = nil
			l.control.applyLoads()
		}
	}
}

// updatePools applies changes of targets and of round trips to the generation that serves.
func (l *instance) updatePools(ctx context.Context) {
	for ctx.Err() == nil {
		g := l.control.hold().control
		l.updateGeneration(ctx, g)
		g.release()
	}
}

// updateGeneration is updatePools until another generation serves. It begins with a look
// at the targets, which may have changed before g served.
func (l *instance) updateGeneration(ctx context.Context, g *generation) {
	due := g.debounce() // nil: the addresses of targets are those that the pools have
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.replaced:
			return
		case now := <-g.roundTrips.nextPoll:
			l.updateSafely(func() { l.pollLatency(ctx, g, now) })
		case <-l.tracker.Changes():
			due = g.debounce()
		case <-due:
			due = nil
			l.updateSafely(func() {
				if err := l.updateAddresses(ctx, g); err != nil && ctx.Err() == nil && !errors.Is(err, errReplaced) {
					l.Logger.Error("cannot use the new addresses of targets; the old ones keep serving", "error", err)
				}
			})
		}
	}
}

// updateSafely runs an update. A panic in it leaves the pools as they are.
func (l *instance) updateSafely(update func()) {
	defer l.control.recoverPanic("update of the pools")
	update()
}
