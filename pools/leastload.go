package pools

import (
	"fmt"
	"math"
	"math/bits"

	"meridian/pools/internal/bitset"
)

// byFreeCapacity draws a member with probability room / sum of the rooms. A member's
// room is its weight times the capacity that is free once its share of the clients is
// in proportion to its room, see balancer. In the steady state:
//
//	weight  load  capacity  reports        room
//	1       20    100       fresh          1 * (100 - 20)
//	2       20    100       fresh          2 * (100 - 20)
//	1       130   100       fresh          0, while another member has room
//	1       -     100       stale or none  1 * 100 * the mean free part of those that report
//	1       -     -         stale or none  1 * the mean capacity * that mean part
//	all without a report                   weight * capacity; if none has a capacity, the weight
//	all full                               as if all capacities were larger, by one factor
//
// Rooms are computed when reports arrive, not here. The room of a member in slow start
// is multiplied by its fraction.
func (s *Scratch) byFreeCapacity(v *frame, from bitset.Set, r uint64) int {
	sum, last := s.sumOfFreeCapacity(v, from)
	if sum <= 0 {
		return s.byWeight(v, from, r)
	}
	at := sum * (float64(r>>11) / (1 << 53))
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			room := s.freeCapacity(v, m)
			if at < room {
				return m
			}
			at -= room
		}
	}
	return last // rounding can leave a rest of the sum
}

// sumOfFreeCapacity returns the sum of the rooms, and the last member that has any.
func (s *Scratch) sumOfFreeCapacity(v *frame, from bitset.Set) (sum float64, last int) {
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			if room := s.freeCapacity(v, m); room > 0 {
				sum += room
				last = m
			}
		}
	}
	return sum, last
}

// freeCapacity returns a member's room, times its fraction.
func (s *Scratch) freeCapacity(v *frame, m int) float64 {
	room := math.Float64frombits(s.state.word(s.tree.withFreeCapacity + v.pool.room + uint32(m)))
	return room * float64(v.fraction(m)) / full
}

// whyFreeCapacity returns the probability that m had.
func (s *Scratch) whyFreeCapacity(v *frame, from bitset.Set, m int) string {
	sum, _ := s.sumOfFreeCapacity(v, from)
	if sum <= 0 {
		return "no member has room; " + s.whyWeight(v, from, m)
	}
	return fmt.Sprintf("room %.4g of %.4g", s.freeCapacity(v, m), sum)
}

// whyNoFreeCapacity explains why m is not chosen.
func (s *Scratch) whyNoFreeCapacity(v *frame, m int) string {
	sum, _ := s.sumOfFreeCapacity(v, v.eligible)
	switch room := s.freeCapacity(v, m); {
	case sum <= 0:
		return "not drawn: no member has room"
	case room <= 0:
		return "has no room"
	default:
		return fmt.Sprintf("not drawn: room %.4g of %.4g", room, sum)
	}
}

// chancesByFreeCapacity yields the probabilities of byFreeCapacity.
func (s *Scratch) chancesByFreeCapacity(v *frame, from bitset.Set, f func(m int, p float64)) {
	sum, _ := s.sumOfFreeCapacity(v, from)
	if sum <= 0 {
		s.chancesByWeight(v, from, f)
		return
	}
	for m := range from.All() {
		if room := s.freeCapacity(v, m); room > 0 {
			f(m, room/sum)
		}
	}
}
