package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"meridian/control"
)

// startUpdates starts the goroutines that apply load reports, target changes, latency changes and
// the end of overrides to the pools, those that sign zones for transfers and open maintenance windows, and those that collect what
// responders have observed and sampled. A running or hanging reload does not delay them. The returned function waits
// until they have ended after ctx.
func (l *instance) startUpdates(ctx context.Context) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() { l.updateLoads(ctx) })
	running.Go(func() { l.updatePools(ctx) })
	running.Go(func() { l.signTransfers(ctx) })
	running.Go(func() { l.tick(ctx) })
	running.Go(func() { l.updates.finish(ctx) })
	running.Go(func() { l.maintain(ctx) })
	running.Go(func() { repeat(ctx, l.control.CollectObservations) })
	running.Go(func() { repeat(ctx, l.control.CollectSamples) })
	if l.member != nil && l.member.rollout != nil {
		running.Go(func() { l.member.rollout.Run(ctx) })
	}
	return func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			running.Wait()
			l.recordUpdates(true)
		}()
		l.waitOrLog(ended, "pool updates")
	}
}

// tick calls Tick, and looks at rate limiting, once a second.
func (l *instance) tick(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var limiting limitingWatch
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-second.C:
			l.control.Tick(now)
			l.recordUpdates(false)
			counters := l.server.Counters()
			l.watchLimiting(&limiting, now, &counters, l.server.LimitedNetwork)
		}
	}
}

// maintain opens and ends maintenance windows, at once and then once a second. Its checks may take longer than
// a second, so tick does not do it.
func (l *instance) maintain(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for now := time.Now(); ; {
		l.control.Maintain(now)
		select {
		case <-ctx.Done():
			return
		case now = <-second.C:
		}
	}
}

// repeat calls run until ctx ends, each time after the duration that it has returned.
func repeat(ctx context.Context, run func() (next time.Duration)) {
	for next := run(); ; next = run() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// loadPause is how long load reports are collected before they are applied to the pools.
const loadPause = 250 * time.Millisecond

// updateLoads applies load reports, those within loadPause together.
func (l *instance) updateLoads(ctx context.Context) {
	var due <-chan time.Time // nil: the pools have the current reports
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
			l.control.ApplyLoads()
		}
	}
}

// updatePools applies target and latency changes to the current generation.
func (l *instance) updatePools(ctx context.Context) {
	for ctx.Err() == nil {
		g := l.hold()
		l.updateGeneration(ctx, g)
		g.Release()
	}
}

// updateGeneration runs updatePools for g until another generation serves. It starts with a check
// of the targets, which may have changed before g served.
func (l *instance) updateGeneration(ctx context.Context, g *generation) {
	addresses := retrier{run: func() error { return l.updateTargets(ctx, g) }, instance: l}
	copies := copyUpdates{reuse: true}
	copies.schedule() // some may have changed since the build
	ticks, stop := liveTicker(l.snapshotOf(g))
	defer stop()
	due := g.debounce() // nil: the pools have the current addresses
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.replaced:
			return
		case now := <-g.roundTrips.nextPoll:
			updateSafely(l.control, func() { l.pollLatency(ctx, g, now) })
		case <-l.tracker.Changes():
			due = g.debounce()
		case <-due:
			due = addresses.attempt(ctx)
		case <-l.copies.Changes():
			copies.schedule()
		case now := <-ticks:
			updateSafely(l.control, func() { l.updateLive(g, &l.live, now) })
		case <-copies.grace:
			copies.grace = nil
			copies.schedule()
		case <-copies.due:
			copies.run(ctx, l, g)
		}
	}
}

// The wait before a failed update is tried again; it doubles with each consecutive failure.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// retrier applies the addresses of targets, and again after a failure.
type retrier struct {
	run      func() error
	instance *instance
	failures int // consecutive ones
}

// attempt runs the update. If it fails, it returns a channel that delivers when to try again; nil
// after a success, or if the generation serves no more.
func (r *retrier) attempt(ctx context.Context) <-chan time.Time {
	err := errors.New("the update panicked")
	updateSafely(r.instance.control, func() { err = r.run() })
	if err == nil || ctx.Err() != nil || errors.Is(err, errReplaced) {
		r.failures = 0
		return nil
	}
	wait := min(lastRetry, firstRetry<<min(r.failures, 6))
	r.failures++
	r.instance.Logger.Error("cannot use the new addresses of targets; the old ones keep serving", "error", err, "failures", r.failures, "retry_in", wait)
	return time.After(wait)
}

// updateSafely runs an update. After a panic the pools are unchanged.
func updateSafely(c *control.Control, update func()) {
	defer c.RecoverPanic("update of the pools")
	update()
}
