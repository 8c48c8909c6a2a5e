package pools

import (
	"fmt"
	"math"

	"meridian/pools/internal/bitset"
)

// inOrder returns the first member in the order written, or the second for the share of
// draws that `trickle` sets:
//
//	primary   secondary   trickle   chosen
//	eligible  -           none      primary
//	eligible  eligible    5%        primary in 95 % of the draws, secondary in 5 %
//	eligible  not         5%        the next eligible one instead of the secondary
//	not       eligible    none      secondary
//	only one eligible     -         that one
//	none                  -         the pool is not live and inOrder is not called
//
// With `answers: n` it returns the first n; under a trickle each draw is one of the
// first two that are left.
func (v *frame) inOrder(from bitset.Set, r uint64) int {
	first := from.First()
	if r >= v.trickle {
		return first
	}
	return from.After(first) // the first again if it is the only one
}

// whyOrder explains why failover chose a member.
func (s *Scratch) whyOrder(v *frame, from bitset.Set, m int) string {
	p := &s.tree.cfg.Pools[v.id]
	switch {
	case v.trickle == 0 || from.Count() == 1:
		return "first eligible in the order written"
	case m == from.First():
		return fmt.Sprintf("first eligible in the order written, in %d%% of the draws", 100-p.Trickle)
	}
	return fmt.Sprintf("next eligible standby, in %d%% of the draws", p.Trickle)
}

// whyBehind explains why failover does not choose a member first:
//
//	member                trickle  reason
//	the first eligible    none     why it is first, from whyOrder
//	the first eligible    5%       its share of the draws
//	the second eligible   5%       its share of the draws
//	any other             -        the member before it
func (s *Scratch) whyBehind(v *frame, m int) string {
	first := v.eligible.First()
	switch {
	case m == first && v.trickle == 0 && v.wanted == 1: // and so it is chosen
		return s.whyOrder(v, v.eligible, m)
	case v.trickle > 0 && (m == first || m == v.eligible.After(first)):
		return "not drawn: " + s.whyOrder(v, v.eligible, m)
	}
	before := first
	for next := v.eligible.After(first); next < m && next > before; next = v.eligible.After(next) {
		before = next
	}
	return fmt.Sprintf("comes after %q", s.tree.cfg.Pools[v.id].Members[before].Name)
}

// chancesInOrder yields the probabilities of inOrder.
func (v *frame) chancesInOrder(from bitset.Set, f func(m int, p float64)) {
	first := from.First()
	second := from.After(first)
	trickle := math.Ldexp(float64(v.trickle), -64)
	if second == first || trickle == 0 {
		f(first, 1)
		return
	}
	f(first, 1-trickle)
	f(second, trickle)
}
