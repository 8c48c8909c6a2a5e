package daemon

import (
	"time"

	"meridian/pools"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/zones"
)

const (
	livePoll     = time.Second // between two looks at health states: those within it are published together
	liveInterval = time.Minute // between two serials of a zone, however often health states change
)

// liveUpdates paces the serials of zones with pools: live. The goroutine of updatePools uses it.
type liveUpdates struct {
	seen      pools.Version        // of the pools at the last capture
	pending   bool                 // a zone has changed, and had a serial too recently
	published map[string]time.Time // by zone: its last serial for a health state
}

// due reports whether the records are to be looked at. changed: health states have changed since the last call.
func (u *liveUpdates) due(changed bool) bool {
	due := u.pending || changed
	u.pending = false
	return due
}

// allow reports whether a changed zone may have a serial now. If not, it is looked at again.
func (u *liveUpdates) allow(zone string, now time.Time) bool {
	if last, ok := u.published[zone]; ok && now.Sub(last) < liveInterval {
		u.pending = true
		return false
	}
	if u.published == nil {
		u.published = map[string]time.Time{}
	}
	u.published[zone] = now
	return true
}

// liveTicker returns a channel that delivers when health states may have changed the transfers of a snapshot, and what ends it; nil: they never do.
func liveTicker(s *snapshot.Snapshot) (ticks <-chan time.Time, stop func()) {
	if len(transfer.LiveZones(s.Config)) == 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(livePoll)
	return ticker.C, ticker.Stop
}

// updateLive gives the zones whose transfers follow health states a higher serial if their records have changed.
func (l *instance) updateLive(g *generation, u *liveUpdates, now time.Time) {
	s := l.snapshotOf(g)
	if s.Live == nil {
		return
	}
	version := s.Pools.Version()
	due := u.due(u.seen != version)
	if u.seen = version; !due {
		return
	}
	captured, err := transfer.CaptureLive(s.Zones, s.Pools, s.Config, transfer.LiveZones(s.Config))
	if err != nil {
		l.Logger.Error("cannot find the records of a transfer; secondaries keep the old ones", "error", err)
		return
	}
	for _, zone := range transfer.LiveZones(s.Config) {
		if captured.Same(s.Live, zone) || s.Zones.Missing(zone) != 0 {
			continue
		}
		if u.allow(string(s.Config.Zones[zone].Name), now) && !l.publishLive(g, captured, zone) {
			u.pending = true
		}
	}
}

// publishLive serves a zone with a higher serial, and the records that a transfer of it has now. It reports whether that is done, or not to
// be tried again.
func (l *instance) publishLive(g *generation, captured *transfer.Live, zone zones.ZoneID) (done bool) {
	l.updates.gate.Lock()
	defer l.updates.gate.Unlock()
	if l.currentGeneration() != g {
		return true // the next generation has its own
	}
	served := l.snapshotOf(g)
	name := served.Config.Zones[zone].Name
	view := viewOf(served)
	of, err := l.journals.OfUpdates(view, zone)
	if of == nil && err == nil {
		return false // another process takes over
	}
	var change zones.ZoneChange
	if err == nil {
		change, err = served.Live.Publish(captured, view, zone, of, time.Now())
	}
	if err != nil {
		l.Logger.Error("cannot publish health states to secondaries; they keep the old addresses", "zone", name, "error", err, "retry_in", liveInterval)
		return false
	}
	published, err := l.servePublished(change, served.Live.With(captured, zone))
	if err != nil { // never: the listeners are the same
		l.Logger.Error("cannot serve updates of a zone; the next reload serves them", "zone", name, "error", err)
		return true
	}
	l.Logger.Info("health states published to secondaries", "zone", name, "serial", published.Zones.Serial(zone))
	l.secondaries.Update(noticesOfZone(published, zone))
	return true
}

// servePublished serves a zone with another serial. The caller holds the gate of updates: the generation is the same.
func (l *instance) servePublished(change zones.ZoneChange, live *transfer.Live) (*snapshot.Snapshot, error) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	return l.changeLocked([]zones.ZoneChange{change}, live)
}
