package daemon

import (
	"errors"
	"fmt"
	"time"

	"meridian/pools"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/transfer/journal"
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

// updateLive gives the zones with transfers that follow health states a higher serial if their records have changed.
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
	published, err := l.publishSerial(g, zone, func(served *snapshot.Snapshot, of *journal.Journal) (zones.ZoneChange, *transfer.Live, error) {
		change, err := served.Live.Publish(captured, viewOf(served), zone, of, time.Now())
		return change, served.Live.With(captured, zone), err
	})
	switch {
	case errors.Is(err, errReplaced):
		return true // the next generation has its own
	case errors.Is(err, errSuspended):
		return false
	case err != nil:
		l.Logger.Error("cannot publish health states to secondaries; they keep the old addresses", "zone", l.snapshotOf(g).Config.Zones[zone].Name, "error", err, "retry_in", liveInterval)
		return false
	}
	l.Logger.Info("health states published to secondaries", "zone", published.Config.Zones[zone].Name, "serial", published.Zones.Serial(zone))
	return true
}

// publishSerial serves a zone of a generation with a higher serial, which raise writes to the journal, and notifies its secondaries. It fails
// with errReplaced if another generation serves, and with errSuspended while another process takes over.
func (l *instance) publishSerial(g *generation, zone zones.ZoneID, raise func(*snapshot.Snapshot, *journal.Journal) (zones.ZoneChange, *transfer.Live, error)) (*snapshot.Snapshot, error) {
	name := l.snapshotOf(g).Config.Zones[zone].Name
	l.updates.gate.enter(name)
	defer l.updates.gate.leave(name)
	if l.currentGeneration() != g {
		return nil, errReplaced
	}
	served := l.snapshotOf(g)
	if int(zone) >= len(served.Config.Zones) || served.Config.Zones[zone].Name != name {
		return nil, errReplaced // a catalog has other zones now
	}
	of, err := l.journals.OfUpdates(viewOf(served), zone)
	switch {
	case err != nil:
		return nil, err
	case of == nil:
		return nil, errSuspended
	}
	change, live, err := raise(served, of)
	if err != nil {
		return nil, err
	}
	published, err := l.servePublished(change, live)
	if err != nil { // never: the listeners are the same
		return nil, fmt.Errorf("the next reload serves the change: %w", err)
	}
	l.secondaries.Update(noticesOfZone(published, zone))
	return published, nil
}

// servePublished serves a zone with another serial, and with other records of transfers that follow health states; nil: the present ones. The
// caller is inside the gate of updates: the generation is the same.
func (l *instance) servePublished(change zones.ZoneChange, live *transfer.Live) (*snapshot.Snapshot, error) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if live == nil {
		live = l.current.Snapshot.Live // the goroutine that publishes health states may have changed it
	}
	return l.changeLocked([]zones.ZoneChange{change}, live)
}
