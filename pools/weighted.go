package pools

import (
	"fmt"
	"math/bits"

	"meridian/pools/internal/bitset"
)

// byWeight draws a member with probability weight / sum of the weights:
//
//	weights in order   sum   r as a part of 2^64   drawn
//	10  5              15    below 10/15           the first
//	10  5              15    from 10/15 on         the second
//	(only one)         -     -                     that one
//
// byReducedWeight draws if members are in slow start. Members of weight 0 are never eligible, so every weight here is positive.
func (s *Scratch) byWeight(v *frame, from bitset.Set, r uint64) int {
	if len(v.slow) > 0 {
		return s.byReducedWeight(v, from, r)
	}
	return s.tree.drawn(v.pool, from, r)
}

// drawn returns the member of p that r draws from a set by weight.
func (t *Tree) drawn(p *pool, from bitset.Set, r uint64) int {
	if p.even { // fast path, equal to the slow path if all weights are equal
		return from.Nth(int(below(r, uint64(from.Count()))))
	}
	weights := t.weights[p.first:][:p.members]
	sum, members := sumOf(weights, from)
	if members == 1 {
		return from.First()
	}
	at := below(r, sum)
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			weight := uint64(weights[m])
			if at < weight {
				return m
			}
			at -= weight
		}
	}
	panic("pools: a draw beyond the sum of the weights")
}

// sumOf adds up the weights of some members and counts them.
func sumOf(weights []uint32, of bitset.Set) (sum uint64, members int) {
	for i, w := range of {
		for ; w != 0; w &= w - 1 {
			sum += uint64(weights[i<<6+bits.TrailingZeros64(w)])
			members++
		}
	}
	return sum, members
}

// whyWeight returns the weight of m and the sum of weights that it was drawn with.
func (s *Scratch) whyWeight(v *frame, from bitset.Set, m int) string {
	weights := s.tree.weights[v.first:][:v.members]
	if len(v.slow) > 0 {
		return fmt.Sprintf("weight %.4g of %.4g", float64(s.reducedWeight(v, m))/fullWeight, float64(s.sumOfReducedWeights(v, from))/fullWeight)
	}
	sum, _ := sumOf(weights, from)
	return fmt.Sprintf("weight %d of %d", weights[m], sum)
}

// chancesByWeight yields the probabilities of byWeight.
func (s *Scratch) chancesByWeight(v *frame, from bitset.Set, f func(m int, p float64)) {
	sum := float64(s.sumOfReducedWeights(v, from))
	for m := range from.All() {
		f(m, float64(s.reducedWeight(v, m))/sum)
	}
}
