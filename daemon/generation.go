package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/pools"
	"meridian/snapshot"
)

// generation is the daemon's part of a generation: it replaces the snapshot when the addresses of
// targets or the latency table change.
//
// A reload makes the next generation. The files of the previous one are closed when it has no
// users any more.
type generation struct {
	// Guarded by instance.swapMu while the generation serves.
	control.Generation
	resolved map[config.Target]pools.Resolved // the addresses in the snapshot
	changed  time.Time                        // when they last changed

	roundTrips *latencySource // owned by updatePools while the generation serves

	replaced chan struct{} // closed when another generation serves
	unused   chan struct{} // closed when the generation is
}

// newGeneration returns a generation of a loaded snapshot, without health checks and load reports.
func (l *instance) newGeneration(loaded *snapshot.Snapshot) *generation {
	g := &generation{
		Generation: control.Generation{Snapshot: loaded, Hash: hashOf(loaded.Config), LoadedAt: time.Now(), Targets: follow(l.tracker, loaded)},
		replaced:   make(chan struct{}), unused: make(chan struct{}),
	}
	g.Users = control.NewUsers(func() { l.close(g) })
	return g
}

// close closes a generation that has no users any more.
func (l *instance) close(g *generation) {
	g.unfollow()
	if err := g.Snapshot.Close(); err != nil {
		l.Logger.Warn("cannot close the files of the previous configuration", "error", err)
	}
	close(g.unused)
}

// drop ends a generation that was prepared and will not serve.
func (l *instance) drop(g *generation) {
	l.control.Abort(g.Snapshot.Pools)
	g.unfollow()
}

// unusedWithin is the time that a reload waits for the last users of the previous generation, so
// that its memory can be returned.
const unusedWithin = time.Second

// awaitUnused waits until a released generation is closed, for a bounded time.
func (g *generation) awaitUnused() {
	select {
	case <-g.unused:
	case <-time.After(unusedWithin):
	}
}

// unfollow stops the watches that keep the snapshot current.
func (g *generation) unfollow() {
	g.Watch.Close()
	g.Loads.Close()
	g.Targets.Close()
}

// hashDigits is the length of a configuration's hash: enough to distinguish configurations.
const hashDigits = 12

// hashOf returns a hash of the files of a configuration, which is equal on nodes with equal files.
func hashOf(cfg *config.Config) string {
	hash := sha256.New()
	for _, file := range cfg.Files() {
		if cfg.Root != "" {
			file = filepath.Join(cfg.Root, file)
		}
		f, err := os.Open(file)
		if err != nil {
			return ""
		}
		_, err = io.Copy(hash, f)
		f.Close()
		if err != nil {
			return ""
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:hashDigits]
}

// currentGeneration returns the generation that serves, or nil.
func (l *instance) currentGeneration() *generation {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	return l.current
}

// served returns the snapshot that serves.
func (l *instance) served() *snapshot.Snapshot {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	return l.current.Snapshot
}

// snapshotOf returns the snapshot of a generation. Dynamic updates replace that of the generation that serves.
func (l *instance) snapshotOf(g *generation) *snapshot.Snapshot {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	return g.Snapshot
}

// hold returns the generation that serves, with the caller as a user. The caller must release it.
func (l *instance) hold() *generation {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	l.current.Acquire() // never fails: the instance is a user of the current one
	return l.current
}

// use makes g the current generation and returns the previous one, or nil. If answering is true,
// it also makes the server answer from g's snapshot; otherwise the server does so already.
func (l *instance) use(g *generation, answering bool) (before *generation, err error) {
	l.updates.gate.lock()
	defer l.updates.gate.unlock()
	err = l.journaled(g.Snapshot, func(next *snapshot.Snapshot) error {
		l.swapMu.Lock()
		defer l.swapMu.Unlock()
		before = l.current
		return l.replaceLocked(g, next, answering)
	})
	return before, err
}

// replaceLocked makes the server answer from the snapshot of g, which may have become next, and ends the generation before.
func (l *instance) replaceLocked(g *generation, next *snapshot.Snapshot, answering bool) error {
	if answering || next != g.Snapshot {
		g.Snapshot = next
		if _, err := l.server.Swap(next); err != nil {
			return err
		}
	}
	if l.current != nil {
		close(l.current.replaced)
	}
	l.current, l.merging = g, nil
	l.control.Commit(g.Generation)
	l.measuredLocked(g.roundTrips)
	return nil
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
	unused := &generation{Generation: control.Generation{Snapshot: snapshot, Watch: watch, Loads: loads}}
	if err = l.exchange(g, unused); errors.Is(err, errReplaced) {
		err = l.exchangeCanary(g, unused)
	}
	if err != nil {
		l.control.Abort(snapshot.Pools)
	}
	unused.Watch.Close()
	unused.Loads.Close()
	return err
}

// exchange swaps the snapshots and watches of g and next.
func (l *instance) exchange(g, next *generation) error {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.current != g {
		return errReplaced
	}
	if next.Snapshot.Zones != g.Snapshot.Zones { // an update came in between
		next.Snapshot = next.Snapshot.WithZonesOf(g.Snapshot)
	}
	if _, err := l.server.Swap(next.Snapshot); err != nil {
		return err
	}
	g.Snapshot, next.Snapshot = next.Snapshot, g.Snapshot
	g.Watch, next.Watch = next.Watch, g.Watch
	g.Loads, next.Loads = next.Loads, g.Loads
	l.control.Commit(g.Generation)
	return nil
}
