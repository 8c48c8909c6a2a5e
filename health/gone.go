package health

import (
	"slices"
	"time"
)

// maxGone is how many targets that are gone are remembered for what held them down, at most.
const maxGone = 10_000

// lost notes that e is dropped, if it is held down: a member that a reload removes and
// the next one adds, or an address that leaves a name for a while, has cleared nothing.
func (o *owner) lost(e *entry, now time.Time) {
	if m, ok := e.remember(now); ok && m.Detained {
		o.gone = append(o.gone, departed{e.identity, m})
	}
}

// departed is a target that is gone, and what there is to remember of it.
type departed struct {
	identity
	memory Memory
}

// keepHolds remembers the targets that were dropped since the last time, for as long as
// a state file would, but those that are watched under another definition: they go on.
func (o *owner) keepHolds(now time.Time) {
	if len(o.gone) == 0 {
		return
	}
	watched := make(map[label]bool)
	for _, e := range o.entries {
		watched[label{e.name(), e.addr}] = true
	}
	latest := make(map[label]identity)
	for _, d := range o.gone {
		if of := d.memory.label(); !watched[of] {
			o.memories[d.identity], latest[of] = d.memory, d.identity
			o.changed()
		}
	}
	o.gone = o.gone[:0]
	o.memories.prune(latest, now)
}

// prune drops what is too old at now, what is known of a label beside the latest, and of
// what was held down the oldest, where that is more than maxGone.
func (all memories) prune(latest map[label]identity, now time.Time) {
	var held []identity
	for id, m := range all {
		newer, ok := latest[m.label()]
		switch {
		case ok && newer != id, m.possible(now) != nil:
			delete(all, id)
		case m.Detained:
			held = append(held, id)
		}
	}
	if len(held) <= maxGone {
		return
	}
	slices.SortFunc(held, func(a, b identity) int { return all[a].At.Compare(all[b].At) })
	for _, id := range held[:len(held)-maxGone] {
		delete(all, id)
	}
}

func (m *Memory) label() label { return label{m.Check, m.Address.Unmap()} }
