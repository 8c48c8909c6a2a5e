package daemon

import (
	"errors"
	"time"

	"meridian/snapshot"
	"meridian/transfer"
)

// errSuspended is returned if zones cannot change because another process takes over.
var errSuspended = errors.New("a new process takes over, and has the journals of the zones")

// journaled makes change serve a snapshot, or one with what updates changed: it first sets the serials of the zones, which
// follow from what is served, and then records what changed. A zone keeps the serial of its files if its records cannot be
// compared. The caller holds the gate of updates, and not swapMu: comparing and writing zones may take long.
func (l *instance) journaled(next *snapshot.Snapshot, change func(*snapshot.Snapshot) error) error {
	if l.journals.Closed() {
		return errSuspended
	}
	l.journals.Use(next.Config.State)
	var before *snapshot.Snapshot
	if g := l.currentGeneration(); g != nil {
		before = l.snapshotOf(g)
	}
	next = l.withLive(before, next)
	var served *transfer.View
	if before != nil {
		served = viewOf(before)
	}
	view := viewOf(next)
	steps, err := l.journals.Prepare(served, view, time.Now())
	if err != nil {
		l.Logger.Error("cannot compare the zones of two configurations; secondaries take the whole zones", "error", err)
	}
	if view.Data != next.Zones {
		next = next.WithZones(view.Data)
	}
	if err := change(next); err != nil {
		return err
	}
	l.journals.Commit(steps)
	return nil
}

// withLive returns next with the records of transfers that follow health states: the present ones, or those of before if only zones
// differ. Transferred zones and catalogs may change often, and raise no serial of other zones.
func (l *instance) withLive(before, next *snapshot.Snapshot) *snapshot.Snapshot {
	wanted := transfer.LiveZones(next.Config)
	if len(wanted) == 0 && next.Live == nil {
		return next
	}
	with := *next
	with.Live = nil
	if before != nil && before.Pools == next.Pools {
		with.Live = before.Live.In(before.Zones, next.Zones, wanted)
	}
	if with.Live == nil {
		var err error
		if with.Live, err = transfer.CaptureLive(next.Zones, next.Pools, next.Config, wanted); err != nil {
			l.Logger.Error("cannot find the records of a transfer; secondaries keep the old ones", "error", err)
		}
	}
	return &with
}

// viewOf returns what a snapshot has for transfers.
func viewOf(s *snapshot.Snapshot) *transfer.View {
	return transfer.NewView(s.Config, s.Zones, s.Pools, s.Live)
}
