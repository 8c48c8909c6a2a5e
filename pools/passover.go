package pools

import (
	"math/bits"
	"slices"

	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// narrows reports whether the policy leaves the members of one region or one match.
func (v *frame) narrows() bool {
	return v.policy == proximity || v.policy == latency || v.policy == geolocation
}

// passOver removes from v.eligible the nested pools that are live but have no answer
// for this client, and reports whether it removed any. It checks as few as the
// choice depends on, because each one widens the scope:
//
//	policy                           checks
//	proximity, latency, geolocation  those that the policy has narrowed to; all, if slow start or lost regions matter
//	failover                         in order, as many as the answer and its trickle need
//	any other                        all
func (s *Scratch) passOver(v *frame, answers int) bool {
	removed, left := false, v.mostLooked(answers)
	for i, w := range v.eligible {
		for ; w != 0 && left > 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			child := s.tree.members[v.first+uint32(m)].child
			if child == none || s.hasAnswer(ID(child), v.basis) {
				left--
				continue
			}
			v.eligible.Remove(m)
			v.canGive.Remove(m)
			v.passed.Add(m)
			s.record.passes(s, v, m)
			removed = true
		}
	}
	return removed
}

// mostLooked returns how many members with an answer passOver has to find. If a
// member lacks the family, any other of its region may replace it.
func (v *frame) mostLooked(answers int) int {
	switch {
	case v.policy != failover || answers == 0 || len(v.slow) > 0 || v.spread || !slices.Equal(v.eligible, v.canGive):
		return int(v.members)
	case v.trickle > 0:
		return answers + 1
	}
	return answers
}

// reload makes all eligible members drawable again, except those passed over.
func (s *Scratch) reload(v *frame) {
	v.byNetwork = false
	eligible, giving := v.pool.eligible(s.family, v.basis), v.pool.giving(s.family, v.basis)
	for i := range v.words {
		v.eligible[i] = s.state.word(eligible+i) &^ v.passed[i]
		v.canGive[i] = s.state.word(giving+i) &^ v.passed[i]
		if s.Widen && s.recordType == 0 {
			v.eligible[i] &= v.canGive[i]
		}
	}
	if s.recordType != 0 {
		s.loadRecords(v)
	}
}

// hasAnswer reports whether a pool has an eligible member that may be answered to
// this client, and widens the scope accordingly:
//
//	policy       a client has an answer if
//	geolocation  one of its matches has such a member: under widen any, else the first; under open also a usable one
//	any other    the pool has such a member
//
// A member that is a pool counts if that pool has an answer for the client.
func (s *Scratch) hasAnswer(id ID, pl basis) bool {
	p := &s.tree.pools[id]
	switch {
	case !p.depends:
		return true
	case p.policy == geolocation && p.table != none:
		return s.hasMatch(p, pl)
	}
	return s.anyAnswer(p, pl, nil) || p.opens && s.opensMatch(p, pl, nil)
}

// hasMatch is hasAnswer for a geolocation pool with several matches.
func (s *Scratch) hasMatch(p *pool, pl basis) bool {
	table := s.tree.geoTables[p.table]
	leaf := table.Lookup(s.client)
	k := 0
	for _, match := range table.Ranking(leaf) {
		s.scope = max(s.scope, table.Scope(leaf, k))
		if match == geo.NoMatch {
			return false
		}
		members := s.tree.match(p, match)
		if s.anyAnswer(p, pl, members) {
			return true
		}
		if p.fence {
			return p.opens && s.opensMatch(p, pl, members)
		}
		k++
	}
	return false
}

// opensMatch reports whether a match may fail open; nil means the pool's only match.
func (s *Scratch) opensMatch(p *pool, after basis, members bitset.Set) bool {
	for _, pl := range failingOpen(after) {
		if s.anyAnswer(p, pl, members) {
			return true
		}
	}
	return false
}

// anyAnswer reports whether an eligible member of a pool has an answer for the
// client; members, unless nil, limits it to those. It checks members first
// that do not depend on the client.
func (s *Scratch) anyAnswer(p *pool, pl basis, members bitset.Set) bool {
	for _, dependent := range [...]bool{false, true} {
		for i := range p.words {
			w := s.state.word(p.eligible(s.family, pl) + i)
			if members != nil {
				w &= members[i]
			}
			for ; w != 0; w &= w - 1 {
				child := s.tree.members[p.first+i<<6+uint32(bits.TrailingZeros64(w))].child
				depends := child != none && s.tree.pools[child].depends
				if depends == dependent && (!depends || s.hasAnswer(ID(child), pl)) {
					return true
				}
			}
		}
	}
	return false
}
