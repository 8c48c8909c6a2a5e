package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"meridian/config"
	"meridian/geo"
	"meridian/zones"
)

// LatencyStatus is how the table of round trips stands.
type LatencyStatus struct {
	File    string    `json:"file"`
	Rows    int       `json:"rows"`            // that the pools go by; none while the file is stale
	Written time.Time `json:"written"`         // the file that they are of
	Stale   bool      `json:"stale"`           // it is older than max_age: distance decides
	Refused int       `json:"refused"`         // new files that were refused, since the last reload
	Error   string    `json:"fault,omitempty"` // what is wrong with the file now; an older one serves
}

// latencySource is what keeps the round trips of a snapshot current.
type latencySource struct {
	config    config.Latency
	read      *geo.Latency     // as last read and taken over; nil: none are measured
	lastTried fs.FileInfo      // of the file as last looked at, where it was refused
	nextPoll  <-chan time.Time // delivers when it is time to look at the file again; nil: never
	stale     bool             // read is too old to go by
	refused   int
	err       string
}

// builder makes what a reload has, beside the round trips that the pools go by.
func (l *instance) builder() zones.Builder {
	l.swapping.Lock()
	defer l.swapping.Unlock()
	return zones.BuildInBackground(l.measured)
}

// firstRoundTrips is what a snapshot that was loaded has, and the snapshot that goes by
// it: a file that is too old counts for nothing. Of one that is at fault, where round
// trips from before are in its place, it tells.
func (l *instance) firstRoundTrips(loaded *zones.Snapshot) (*latencySource, *zones.Snapshot, error) {
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
	snapshot, err := buildSafely(context.Background(), l, func() (*zones.Snapshot, error) { return loaded.Measure(used) })
	return r, snapshot, err
}

// status tells how the table stands; nil without one.
func (r *latencySource) status() *LatencyStatus {
	if r == nil || r.read == nil {
		return nil
	}
	s := &LatencyStatus{File: r.config.File, Rows: r.read.Rows, Written: r.read.Modified(), Stale: r.stale, Refused: r.refused, Error: r.err}
	if r.stale {
		s.Rows = 0
	}
	return s
}

// refuse notes what is wrong with the file, and reports whether that is news.
func (r *latencySource) refuse(info fs.FileInfo, err error) bool {
	news := info != nil || r.err != err.Error()
	r.lastTried, r.err = info, err.Error()
	if news {
		r.refused++
	}
	return news
}

// expired reports whether the table has become too old, or is no more.
func (r *latencySource) expired(now time.Time) (stale bool) {
	return r.config.MaxAge > 0 && now.Sub(r.read.Modified()) > r.config.MaxAge
}

// pollLatency looks at the file of round trips:
//
//	the file            was looked at    does
//	as it was read      -                goes by it; by distance while it is older than max_age
//	another             and refused      nothing
//	another, sound      -                swaps pools that go by it, after the old one (alpha)
//	another, at fault   -                the old one serves; an error in the log, counted
//	not there           -                likewise, told once
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

// reloadLatency takes over the round trips of a file that has changed; info is nil where it
// is not there.
func (l *instance) reloadLatency(ctx context.Context, g *generation, info fs.FileInfo) {
	r := g.roundTrips
	begun := time.Now()
	next, err := buildSafely(ctx, l, g.snapshot.Geo.ReadLatency)
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
	l.Logger.Info("round trips taken over", "file", r.config.File, "rows", next.Rows, "took", time.Since(begun).Round(time.Millisecond))
}

// publishRoundTrips publishes how the round trips of g are, if g serves.
func (l *instance) publishRoundTrips(g *generation) {
	l.swapping.Lock()
	defer l.swapping.Unlock()
	if l.control.currentView().control == g {
		l.measuredLocked(g.roundTrips)
	}
}

// measuredLocked makes r what the pools go by, for status and for the next reload.
func (l *instance) measuredLocked(r *latencySource) {
	l.measured = r.read
	l.control.recordLatency(r.status())
}

// expireLatency has distance decide while the round trips are too old.
func (l *instance) expireLatency(ctx context.Context, g *generation, now time.Time) {
	r := g.roundTrips
	if r.stale || !r.expired(now) {
		return
	}
	if err := l.recompileLatency(ctx, g, nil); errors.Is(err, errReplaced) {
		return
	} else if err != nil {
		l.Logger.Error("round trips are older than max_age, and the pools cannot do without", "file", r.config.File, "error", err)
		return
	}
	r.stale = true
	l.logStaleLatency(r)
}

func (l *instance) logStaleLatency(r *latencySource) {
	l.Logger.Error("round trips are older than max_age; distance decides until the file is renewed",
		"file", r.config.File, "written", r.read.Modified(), "max_age", r.config.MaxAge)
}

func (l *instance) refuseLatency(r *latencySource, info fs.FileInfo, err error) {
	if r.refuse(info, err) {
		l.Logger.Error("round trips refused; the old ones keep serving", "file", r.config.File, "error", err)
	}
}

// recompileLatency swaps pools that go by other round trips; nil for none.
func (l *instance) recompileLatency(ctx context.Context, g *generation, t *geo.Latency) error {
	defer l.processors.use()()
	defer l.collecting.use()()
	snapshot, err := buildSafely(ctx, l, func() (*zones.Snapshot, error) { return g.snapshot.Measure(t) })
	if err != nil {
		return err
	}
	return l.swapPools(ctx, g, snapshot)
}
