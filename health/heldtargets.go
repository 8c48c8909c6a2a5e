package health

import (
	"slices"
	"time"
)

// maxDropped is how many targets that are gone are remembered for what held them down, at most.
const maxDropped = 10_000

// rememberIfHeld notes that e is dropped, if it is held down: a member that a reload removes and
// the next one adds, or an address that leaves a name for a while, has cleared nothing.
func (o *scheduler) rememberIfHeld(e *targetState, now time.Time) {
	if m, ok := e.save(now); ok && m.Held {
		o.dropped = append(o.dropped, droppedTarget{e.identity, m})
	}
}

// droppedTarget is a target that is gone, and what there is to remember of it.
type droppedTarget struct {
	identity
	memory SavedTarget
}

// saveHolds remembers the targets that were dropped since the last time, for as long as
// a state file would, but those that are watched under another definition: they go on.
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
		if of := d.memory.label(); !watched[of] {
			o.saved[d.identity], latest[of] = d.memory, d.identity
			o.changed()
		}
	}
	o.dropped = o.dropped[:0]
	o.saved.prune(latest, now)
}

// prune drops what is too old at now, what is known of a label beside the latest, and of
// what was held down the oldest, where that is more than maxGone.
func (all savedTargets) prune(latest map[targetKey]identity, now time.Time) {
	var held []identity
	for id, m := range all {
		newer, ok := latest[m.label()]
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

func (m *SavedTarget) label() targetKey { return targetKey{m.Check, m.Address.Unmap()} }
