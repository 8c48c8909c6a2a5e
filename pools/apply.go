package pools

import (
	"math/bits"
	"slices"
	"sync/atomic"

	"meridian/health"
)

// Change is a pool's turning from one Mode to another for a family.
type Change struct {
	Pool     string
	Family   Family
	From, To Mode
}

// Apply takes turns over into the pools that they concern, and only those.
// Turn.Index is an index of Targets. The changes say which pools bound to names
// began or ended to fail open or to use their fallback.
func (t *Tree) Apply(turns []health.Turn) []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	for i := range turns {
		target := uint32(turns[i].Index)
		if !t.setVerdict(target, turns[i].To) {
			continue
		}
		for _, u := range t.users.of(target) {
			t.refreshLocked(u)
		}
	}
	return t.settleLocked()
}

// setVerdict notes a verdict, and reports whether the target can now be answered
// and could not before, or the other way round. Callers hold t.writing.
func (t *Tree) setVerdict(target uint32, v health.Verdict) bool {
	word, bit := target/64, uint64(1)<<(target%64)
	setBits(&t.up[word], bit, v == health.Up)
	return setBits(&t.down[word], bit, v == health.Down)
}

// setBits sets or clears a bit and reports whether that changed it.
func setBits(word *atomic.Uint64, bit uint64, on bool) bool {
	old := word.Load()
	if old&bit != 0 == on {
		return false
	}
	word.Store(old ^ bit)
	return true
}

// refreshLocked looks at an endpoint's addresses again.
func (t *Tree) refreshLocked(u use) {
	m := &t.members[t.pools[u.pool].first+u.member]
	for _, f := range []Family{IPv4, IPv6} {
		up := slices.ContainsFunc(t.asked(m, f), t.isUp)
		t.setLocked(u, f, asIs, up, len(t.addrs(m, f)) > 0)
	}
}

// setLocked says of a member whether it is live and, if so, can give the
// family, and notes its pool for settleLocked if that is news.
//
// What an ineligible member can give is left as it was and read by nobody: so
// the giving bit of a member that turns stands before its eligible bit is seen.
func (t *Tree) setLocked(u use, f Family, pl plane, live, gives bool) {
	p := &t.pools[u.pool]
	if t.weights[p.first+u.member] == 0 {
		return
	}
	word, bit := u.member/64, uint64(1)<<(u.member%64)
	news := live && setBits(&t.state[p.giving(f, pl)+word], bit, gives)
	if setBits(&t.state[p.eligible(f, pl)+word], bit, live) || news {
		t.noteLocked(ID(u.pool))
	}
}

// noteLocked puts a pool on the list of those to settle.
func (t *Tree) noteLocked(id ID) {
	if !t.queued[id] {
		t.queued[id] = true
		h := t.pools[id].height
		t.dirty[h] = append(t.dirty[h], id)
	}
}

// settleLocked tells the parents of all noted pools, lower pools first so that
// each is looked at once, and gathers what that changed for names.
func (t *Tree) settleLocked() []Change {
	var changes []Change
	for h := range t.dirty {
		for _, id := range t.dirty[h] {
			t.tellParentsLocked(id, asIs)
		}
	}
	for h := range t.dirty {
		for _, id := range t.dirty[h] {
			t.queued[id] = false
			changes = t.changesLocked(changes, id)
			for _, other := range t.backed.of(uint32(id)) {
				changes = t.changesLocked(changes, other)
			}
		}
		t.dirty[h] = t.dirty[h][:0]
	}
	return changes
}

// tellParentsLocked takes what a pool has become into the pools it is a member of.
func (t *Tree) tellParentsLocked(id ID, pl plane) {
	parents := t.parents.of(uint32(id))
	if len(parents) == 0 {
		return
	}
	for _, f := range []Family{IPv4, IPv6} {
		live, gives := t.isLive(id, f, pl), t.gives(id, f, pl)
		for _, u := range parents {
			t.setLocked(u, f, pl, live, gives)
		}
	}
}

// changesLocked adds the changes of mode of a pool that a name is bound to.
func (t *Tree) changesLocked(changes []Change, id ID) []Change {
	if !t.bound[id] {
		return changes
	}
	for _, f := range []Family{IPv4, IPv6} {
		from, to := t.modes[id][f], t.modeOf(id, f)
		if from != to {
			t.modes[id][f] = to
			changes = append(changes, Change{t.cfg.Pools[id].Name, f, from, to})
		}
	}
	return changes
}

// modeOf is Scratch.answer's truth table for those who only want to know.
func (t *Tree) modeOf(id ID, f Family) Mode {
	p := &t.pools[id]
	switch {
	case t.isLive(id, f, asIs):
		return Normal
	case p.fallback != none && t.isLive(ID(p.fallback), f, asIs):
		return FallenBack
	case p.failOpen && t.isLive(id, f, open):
		return FailedOpen
	}
	return Dead
}

// isLive reports whether a pool has as many eligible members as it needs.
func (t *Tree) isLive(id ID, f Family, pl plane) bool {
	v := visit{pool: &t.pools[id], plane: pl}
	return v.isLive(t.countEligible(id, f, pl))
}

func (t *Tree) countEligible(id ID, f Family, pl plane) int {
	p, n := &t.pools[id], 0
	for i := range p.words {
		n += bits.OnesCount64(t.state[p.eligible(f, pl)+i].Load())
	}
	return n
}

// gives reports whether a pool has an eligible member that can give the family.
func (t *Tree) gives(id ID, f Family, pl plane) bool {
	p := &t.pools[id]
	for i := range p.words {
		if t.state[p.eligible(f, pl)+i].Load()&t.state[p.giving(f, pl)+i].Load() != 0 {
			return true
		}
	}
	return false
}

// start works out the first state, in which every target is unknown and so up.
func (t *Tree) start() {
	words := wordsFor(len(t.targets))
	t.down, t.up = make([]atomic.Uint64, words), make([]atomic.Uint64, words)
	t.modes = make([][2]Mode, len(t.pools))
	t.queued = make([]bool, len(t.pools))
	t.dirty = make([][]ID, t.heights)
	t.eachMember(func(u use, m *member) {
		if m.child != none {
			return
		}
		for _, f := range []Family{IPv4, IPv6} {
			for _, pl := range []plane{asIs, open} {
				t.setLocked(u, f, pl, true, len(t.addrs(m, f)) > 0)
			}
		}
	})
	for h := range t.dirty {
		for _, id := range t.dirty[h] {
			t.tellParentsLocked(id, asIs)
			t.tellParentsLocked(id, open)
		}
	}
	t.settleLocked()
	for id := range t.pools { // those without any member that could be up were never noted
		t.changesLocked(nil, ID(id))
	}
}
