package health

import (
	"slices"
	"time"
)

// maxDropped is the maximum number of dropped targets with saved holds.
const maxDropped = 10_000

// rememberIfHeld saves e, which is dropped, if it is held down: removing a member in one reload and adding it in the next,
// or an address that leaves a name for a while, clears no hold.
func (o *scheduler) rememberIfHeld(e *targetState, now time.Time) {
	if m, ok := e.save(now); ok && m.Held {
		o.dropped = append(o.dropped, droppedTarget{e.identity, m})
	}
}

// droppedTarget is a dropped target and its saved state.
type droppedTarget struct {
	identity
	saved SavedTarget
}

// saveHolds saves the targets dropped since the last call, for as long as a state file would, except those that are watched
// under another definition: they carry over their state.
func (o *scheduler) saveHolds(now time.Time) {
	if len(o.dropped) == 0 {
		return
	}
	watched := make(map[targetKey]bool)
	for _, e := range o.entries {
		watched[targetKey{e.name(), e.addr}] = true
	}
	latest := make(map[targetKey]identity)
	for _, d := range o.dropped {
		if of := d.saved.targetKey(); !watched[of] {
			o.saved[d.identity], latest[of] = d.saved, d.identity
			o.changed()
		}
	}
	o.dropped = o.dropped[:0]
	o.saved.prune(latest, now)
}

// prune deletes entries that are too old at now, entries of a key other than the latest, and of held entries the oldest
// beyond maxDropped.
func (all savedTargets) prune(latest map[targetKey]identity, now time.Time) {
	var held []identity
	for id, m := range all {
		newer, ok := latest[m.targetKey()]
		switch {
		case ok && newer != id, m.validate(now) != nil:
			delete(all, id)
		case m.Held:
			held = append(held, id)
		}
	}
	if len(held) <= maxDropped {
		return
	}
	slices.SortFunc(held, func(a, b identity) int { return all[a].At.Compare(all[b].At) })
	for _, id := range held[:len(held)-maxDropped] {
		delete(all, id)
	}
}

func (m *SavedTarget) targetKey() targetKey { return targetKey{m.Check, m.Address.Unmap()} }
