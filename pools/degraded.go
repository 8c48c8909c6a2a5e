package pools

import (
	"slices"

	"meridian/health"
	"meridian/pools/internal/bitset"
)

// Degraded reports whether a member that a pool could answer with is down, drained or uncertain for a family, on any
// level. It is known of the pools of names with a TTL of their own for that time; of others it is false.
func (t *Tree) Degraded(id ID, f Family) bool {
	degraded := t.state.Load().degraded
	return len(degraded) > 0 && degraded.Has(degradedBit(id, f))
}

func degradedBit(id ID, f Family) int { return int(id)*len(families) + int(f) }

// updateDegraded records which pools of Tree.watched are degraded. It is called when all else of the state is known.
func (d *builder) updateDegraded() {
	if len(d.tree.watched) == 0 {
		return
	}
	next := make(bitset.Set, bitset.WordsFor(len(d.tree.pools)*len(families)))
	for _, id := range d.tree.watched {
		for _, f := range families {
			if d.isDegraded(id, f) {
				next.Add(degradedBit(id, f))
			}
		}
	}
	if !slices.Equal(next, d.degraded) {
		d.copyOnWrite()
		d.degraded = next
	}
}

func (st *state) isDegraded(id ID, f Family) bool {
	p := &st.tree.pools[id]
	for i := range p.members {
		if st.isMemberDegraded(p, i, f) {
			return true
		}
	}
	return false
}

// isMemberDegraded reports whether a member of a pool is degraded for a family, the first row that applies:
//
//	weight 0 or disabled                                no
//	not eligible: down, drained, forced down            yes
//	its ejection is deferred                            yes
//	a pool                                              if that is
//	forced up                                           no
//	an endpoint                                         if it is uncertain
func (st *state) isMemberDegraded(p *pool, i uint32, f Family) bool {
	at := p.first + i
	m := &st.tree.members[at]
	switch {
	case st.tree.weights[at] == 0:
		return false
	case st.word(p.eligible(f, byVerdict)+i/64)>>(i%64)&1 == 0, st.isDeferred(at, f):
		return true
	case m.child != none:
		return st.isDegraded(ID(m.child), f)
	case st.kind(at) == ForcedUp || m.addresses() == 0:
		return false
	case p.together:
		return st.togetherVerdict(m) == health.Uncertain
	}
	return st.endpointVerdict(m, f) == health.Uncertain
}
