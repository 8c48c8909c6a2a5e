package pools

import "meridian/pools/internal/bitset"

// drawable returns the members that the next draw is among:
//
//	spread   a region without a member in the answer has one left   the draw is among
//	none     -                                                      all that are left
//	region   yes                                                    the members of such regions
//	region   no                                                     all that are left, and a new round begins
//
// Members without a region count as one region.
func (v *frame) drawable() bitset.Set {
	if !v.spread {
		return v.eligible
	}
	if !v.remainingRegions.Any() {
		copy(v.remainingRegions, v.eligible)
	}
	return v.remainingRegions
}

// passRegion removes the region of m from the round.
func (s *Scratch) passRegion(v *frame, m int) {
	if !v.spread {
		return
	}
	for i, w := range s.tree.group(v.pool, s.tree.members[v.first+uint32(m)].group) {
		v.remainingRegions[i] &^= w
	}
}
