package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"meridian/discovery"
	"meridian/dnsname"
	"meridian/health"
	"meridian/loads"
	"meridian/pools"
	"meridian/snapshot"
)

// generation is a loaded configuration with everything that keeps its pools current. Its snapshot
// is replaced when the addresses of targets or the latency table change.
//
// A reload makes the next generation. The files of the previous one are closed when it has no
// users any more: see acquire.
type generation struct {
	targets  *discovery.Watch
	hash     string    // see hashOf
	loadedAt time.Time // when its configuration was loaded

	// Guarded by instance.swapping while the generation serves.
	snapshot *snapshot.Snapshot
	watch    *health.Watch
	loads    *loads.Watch
	resolved map[dnsname.Name]pools.Resolved // the addresses in the snapshot
	changed  time.Time                       // when they last changed

	roundTrips *latencySource // owned by updatePools while the generation serves

	users    atomic.Int64
	replaced chan struct{} // closed when another generation serves
	unused   chan struct{} // closed when the generation is
	closed   func(error)   // called with the result of closing the files
}

// Acquire adds a user. It returns false if the generation is closed.
func (g *generation) acquire() bool {
	for {
		n := g.users.Load()
		if n == 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release removes a user. The last one closes the generation.
func (g *generation) release() {
	if g.users.Add(-1) > 0 {
		return
	}
	g.unfollow()
	g.closed(g.snapshot.Close())
	close(g.unused)
}

// unfollow stops the watches that keep the snapshot current.
func (g *generation) unfollow() {
	g.watch.Close()
	g.loads.Close()
	g.targets.Close()
}

// hold returns the current view, with the caller as a user of its generation. The caller must
// release it.
func (c *Control) hold() *view {
	for {
		if at := c.currentView(); at.control.acquire() {
			return at
		}
	}
}

// use makes g the current generation and returns the previous one, or nil. If answering is true,
// it also makes the server answer from g's snapshot; otherwise the server does so already.
func (l *instance) use(g *generation, answering bool) (before *generation, err error) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if answering {
		if _, err := l.server.Swap(g.snapshot); err != nil {
			return nil, err
		}
	}
	g.users.Store(1)
	g.closed = func(err error) {
		if err != nil {
			l.Logger.Warn("cannot close the files of the previous configuration", "error", err)
		}
	}
	if before = l.control.currentView().control; before != nil {
		close(before.replaced)
	}
	l.control.commit(g)
	l.logCurrent(g.snapshot.Pools)
	l.measuredLocked(g.roundTrips)
	return before, nil
}

// errReplaced is returned if the pools of a generation are not replaced because another one
// serves.
var errReplaced = errors.New("another configuration is already served")

// swapPools makes the server answer from snapshot, which differs from that of g only in its
// pools. New addresses get their first probes before that. It fails with errReplaced if another
// generation serves by then.
func (l *instance) swapPools(ctx context.Context, g *generation, snapshot *snapshot.Snapshot) error {
	probing, cancel := context.WithTimeout(ctx, startupProbeTimeout)
	defer cancel()
	watch, loads, err := l.subscribe(probing, snapshot)
	if err != nil {
		return err
	}
	unused := &generation{snapshot: snapshot, watch: watch, loads: loads}
	if err = l.exchange(g, unused); err != nil {
		l.control.abort(snapshot.Pools)
	}
	unused.watch.Close()
	unused.loads.Close()
	return err
}

// exchange swaps the snapshots and watches of g and next.
func (l *instance) exchange(g, next *generation) error {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.control.currentView().control != g {
		return errReplaced
	}
	if _, err := l.server.Swap(next.snapshot); err != nil {
		return err
	}
	g.snapshot, next.snapshot = next.snapshot, g.snapshot
	g.watch, next.watch = next.watch, g.watch
	g.loads, next.loads = next.loads, g.loads
	l.control.commit(g)
	l.logCurrent(g.snapshot.Pools)
	return nil
}
