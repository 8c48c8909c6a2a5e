package daemon

import (
	"context"
	"time"

	"meridian/snapshot"
	"meridian/zones"
)

// merging is a merge of the zones that serve with what updates changed in them, see zones.Data.Merge.
type merging struct {
	since []zones.ZoneChange // that the merge does not have; guarded by instance.swapMu
}

// lastMergeChanges is the number of changes that may be made again while swapMu is held: they take milliseconds.
const lastMergeChanges = 64

// mergeLocked starts a merge in the background. It takes the time of copying all zones; updates and queries go on.
func (l *instance) mergeLocked(data *zones.Data) {
	m := new(merging)
	if l.updates.start(func() { l.merge(m, data) }) {
		l.merging = m
	}
}

// merge merges the zones, makes the updates of that time again, and serves the result. If other zones serve by then, the merge is
// dropped.
func (l *instance) merge(m *merging, data *zones.Data) {
	defer l.endMerge(m)
	defer l.control.RecoverPanic("merge of the updates of zones")
	begun := time.Now()
	of := l.served()
	merged, err := buildSafely(context.Background(), l, func() (*snapshot.Snapshot, error) { return of.WithZones(data.Merge()), nil })
	for result := mergeLate; err == nil && result == mergeLate; {
		var missed []zones.ZoneChange
		missed, result, err = l.serveMerged(m, merged)
		if result == mergeDropped {
			l.Logger.Debug("merge of the updates of zones dropped: a reload or a transfer has replaced the zones", "took", time.Since(begun).Round(time.Millisecond))
			return
		}
		if len(missed) > 0 {
			merged, err = withChanges(merged, missed)
		}
	}
	if err != nil {
		l.Logger.Error("cannot merge the updates of zones; the next update tries again", "error", err)
		return
	}
	l.Logger.Debug("updates of zones merged", "took", time.Since(begun).Round(time.Millisecond))
}

// withChanges returns a snapshot with changes of its zones.
func withChanges(s *snapshot.Snapshot, changes []zones.ZoneChange) (*snapshot.Snapshot, error) {
	data, err := s.Zones.UpdateZones(changes)
	if err != nil {
		return nil, err
	}
	updated := make([]zones.ZoneID, len(changes))
	for i := range changes {
		updated[i] = changes[i].Zone
	}
	return s.WithUpdates(data, updated), nil
}

// mergeResult is the result of merging zones.
type mergeResult uint8

const (
	mergeLate    mergeResult = iota // many updates are missing in them
	mergeServed                     // they serve
	mergeDropped                    // other zones serve
)

// serveMerged serves merged zones if few updates are missing in them, and returns those that are missing otherwise.
func (l *instance) serveMerged(m *merging, merged *snapshot.Snapshot) (missed []zones.ZoneChange, result mergeResult, err error) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.merging != m {
		return nil, mergeDropped, nil
	}
	missed, m.since = m.since, nil
	if len(missed) > lastMergeChanges {
		return missed, mergeLate, nil
	}
	if len(missed) > 0 {
		if merged, err = withChanges(merged, missed); err != nil {
			return nil, mergeLate, err
		}
	}
	l.merging = nil
	return nil, mergeServed, l.swapUpdatesLocked(l.current.Snapshot.WithZonesOf(merged))
}

// endMerge ends a merge, if it is still under way: one that failed.
func (l *instance) endMerge(m *merging) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.merging == m {
		l.merging = nil
	}
}
