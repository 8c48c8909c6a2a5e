package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/geo"
	"meridian/snapshot"
)

// latencySource keeps the latency table of a snapshot current.
type latencySource struct {
	config    config.Latency
	read      *geo.Latency     // the table in use; nil: no latency is measured
	lastTried fs.FileInfo      // the last rejected file
	nextPoll  <-chan time.Time // delivers when the next poll is due; nil: never
	stale     bool             // read is older than max_age
	refused   int
	err       string
}

// builder returns the builder for a reload, with the latency table that the pools use.
func (l *instance) builder() snapshot.Builder { return snapshot.WritingKeys(l.checkBuilder()) }

// checkBuilder returns the same builder for a snapshot that will not serve: it writes no keys.
func (l *instance) checkBuilder() snapshot.Builder {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	return snapshot.BuildInBackground(l.measured, snapshot.Known{Copies: l.copies.Copies(), Members: l.members.current(), Masters: l.current.Snapshot.Zones.Masters()})
}

// firstRoundTrips returns the latency source of a loaded snapshot, and the snapshot that uses it.
// A file older than max_age is not used. If the file has an error and an earlier table is used
// instead, it logs the error.
func (l *instance) firstRoundTrips(loaded *snapshot.Snapshot) (*latencySource, *snapshot.Snapshot, error) {
	c, now := loaded.Config.Latency, time.Now()
	r := &latencySource{config: c, read: loaded.Geo.Latency()}
	if r.read == nil {
		return r, loaded, nil
	}
	r.nextPoll = time.After(c.Reload)
	if info, err := loaded.Geo.RefusedLatency(); err != nil {
		l.refuseLatency(r, info, err)
	}
	used := r.read
	if r.stale = r.expired(now); r.stale {
		used = nil
		l.logStaleLatency(r)
	}
	if used == loaded.Geo.Latency() {
		return r, loaded, nil
	}
	snapshot, err := buildSafely(context.Background(), l, func() (*snapshot.Snapshot, error) { return loaded.Measure(used) })
	return r, snapshot, err
}

// status returns the status of the table, or nil without one.
func (r *latencySource) status() *control.LatencyStatus {
	if r == nil || r.read == nil {
		return nil
	}
	s := &control.LatencyStatus{File: r.config.File, Rows: r.read.Rows, Written: r.read.Modified(), Stale: r.stale, Refused: r.refused, Error: r.err}
	if r.stale {
		s.Rows = 0
	}
	return s
}

// refuse records an error of the file and reports whether it is a new error.
func (r *latencySource) refuse(info fs.FileInfo, err error) bool {
	news := info != nil || r.err != err.Error()
	r.lastTried, r.err = info, err.Error()
	if news {
		r.refused++
	}
	return news
}

// expired reports whether the table is older than max_age.
func (r *latencySource) expired(now time.Time) (stale bool) {
	return r.config.MaxAge > 0 && now.Sub(r.read.Modified()) > r.config.MaxAge
}

// pollLatency checks the latency file:
//
//	the file            seen before      action
//	unchanged           -                use it; distance while it is older than max_age
//	changed             and rejected     nothing
//	changed, valid      -                swap in pools with the new table, smoothed with the old one (alpha)
//	changed, invalid    -                keep the old table; log and count the error
//	missing             -                keep the old table; log and count the error once
func (l *instance) pollLatency(ctx context.Context, g *generation, now time.Time) {
	r := g.roundTrips
	defer func() { r.nextPoll = time.After(r.config.Reload) }()
	info, err := os.Stat(r.config.File)
	switch {
	case err == nil && r.read.Same(info):
		r.lastTried, r.err = nil, ""
	case err != nil || r.lastTried == nil || !sameFile(r.lastTried, info):
		l.reloadLatency(ctx, g, info)
	}
	l.expireLatency(ctx, g, now)
	l.publishRoundTrips(g)
}

// sameFile reports whether a file was not written in between.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// reloadLatency reloads a latency file that has changed; info is nil if the file is missing.
func (l *instance) reloadLatency(ctx context.Context, g *generation, info fs.FileInfo) {
	r := g.roundTrips
	begun := time.Now()
	next, err := buildSafely(ctx, l, l.snapshotOf(g).Geo.ReadLatency)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.refuseLatency(r, info, err)
		return
	}
	next = next.After(r.read, r.config.Alpha)
	if err := l.recompileLatency(ctx, g, next); err != nil {
		if !errors.Is(err, errReplaced) {
			l.refuseLatency(r, info, err)
		}
		return
	}
	r.read, r.stale, r.lastTried, r.err = next, false, nil, ""
	for _, w := range next.Warnings {
		l.Logger.Warn(w.Error())
	}
	l.Logger.Info("latency table reloaded", "file", r.config.File, "rows", next.Rows, "took", time.Since(begun).Round(time.Millisecond))
}

// publishRoundTrips publishes the latency table of g if g serves.
func (l *instance) publishRoundTrips(g *generation) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.current == g {
		l.measuredLocked(g.roundTrips)
	}
}

// measuredLocked makes r the table for the status and the next reload.
func (l *instance) measuredLocked(r *latencySource) {
	l.measured = r.read
	l.control.RecordLatency(r.status())
}

// expireLatency switches to distance when the table is older than max_age.
func (l *instance) expireLatency(ctx context.Context, g *generation, now time.Time) {
	r := g.roundTrips
	if r.stale || !r.expired(now) {
		return
	}
	if err := l.recompileLatency(ctx, g, nil); errors.Is(err, errReplaced) {
		return
	} else if err != nil {
		l.Logger.Error("latency table is older than max_age, and the pools cannot be built without it", "file", r.config.File, "error", err)
		return
	}
	r.stale = true
	l.logStaleLatency(r)
}

func (l *instance) logStaleLatency(r *latencySource) {
	l.Logger.Error("latency table is older than max_age; distance decides until the file is updated",
		"file", r.config.File, "written", r.read.Modified(), "max_age", r.config.MaxAge)
}

func (l *instance) refuseLatency(r *latencySource, info fs.FileInfo, err error) {
	if r.refuse(info, err) {
		l.Logger.Error("latency table rejected; the old one stays in use", "file", r.config.File, "error", err)
	}
}

// recompileLatency swaps in pools with another latency table; nil for none.
func (l *instance) recompileLatency(ctx context.Context, g *generation, t *geo.Latency) error {
	defer l.processors.use()()
	defer l.collecting.use()()
	snapshot, err := buildSafely(ctx, l, func() (*snapshot.Snapshot, error) { return g.Snapshot.Measure(t) })
	if err != nil {
		return err
	}
	return l.swapPools(ctx, g, snapshot)
}
