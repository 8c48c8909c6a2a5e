package pools

import (
	"math/bits"

	"meridian/pools/internal/bitset"
)

// golden is 2^64 over the golden ratio, the step of splitmix64.
const golden = 0x9e3779b97f4a7c15

// seed is the randomness of one visit to a pool. Its draws are numbered
// instead of taken from a stream, so that the number of draws that one family needs
// cannot shift those of the other: the A and the AAAA of one draw agree.
type seed uint64

// draw returns the n-th random number of a seed.
func (s seed) draw(n int) uint64 { return mix(uint64(s) + golden*uint64(n+1)) }

// hopStep separates the draws of the pools of one CNAME chain. It differs from golden, which
// numbers seeds and turns.
const hopStep = 0xd1342543de82ef95

// DrawOfHop returns the draw of the pool that is decided after n others in one chain of CNAMEs:
// the draw itself for the first, an unrelated number for each later one.
func DrawOfHop(draw uint64, n int) uint64 {
	if n == 0 {
		return draw
	}
	return mix(draw + hopStep*uint64(n))
}

// below maps the random number r onto 0..n-1 (Lemire's multiplication; the bias
// is under n/2^64, negligible for the weights that a pool can have).
func below(r, n uint64) uint64 {
	hi, _ := bits.Mul64(r, n)
	return hi
}

// mix is the output function of splitmix64: nearby inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

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

// DrawBeginning returns the draw with r as its first random number, that of the pool of the request.
func DrawBeginning(r uint64) uint64 { return unmix(unmix(r) - golden) }

// unmix is the inverse of mix. Its factors are the inverses modulo 2^64.
func unmix(x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	return x ^ x>>30 ^ x>>60
}
