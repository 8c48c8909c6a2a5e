package pools

import (
	"fmt"
	"math"
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
func (v *frame) inOrder(from bitset, r uint64) int {
	first := from.first()
	if r >= v.trickle {
		return first
	}
	return from.after(first) // the first again if it is the only one
}

// whyOrder explains why failover chose a member.
func (s *Scratch) whyOrder(v *frame, from bitset, m int) string {
	p := &s.tree.cfg.Pools[v.id]
	switch {
	case v.trickle == 0 || from.count() == 1:
		return "first eligible in the order written"
	case m == from.first():
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
	first := v.eligible.first()
	switch {
	case m == first && v.trickle == 0 && v.wanted == 1: // and so it is chosen
		return s.whyOrder(v, v.eligible, m)
	case v.trickle > 0 && (m == first || m == v.eligible.after(first)):
		return "not drawn: " + s.whyOrder(v, v.eligible, m)
	}
	before := first
	for next := v.eligible.after(first); next < m && next > before; next = v.eligible.after(next) {
		before = next
	}
	return fmt.Sprintf("comes after %q", s.tree.cfg.Pools[v.id].Members[before].Name)
}

// chancesInOrder yields the probabilities of inOrder.
func (v *frame) chancesInOrder(from bitset, f func(m int, p float64)) {
	first := from.first()
	second := from.after(first)
	trickle := math.Ldexp(float64(v.trickle), -64)
	if second == first || trickle == 0 {
		f(first, 1)
		return
	}
	f(first, 1-trickle)
	f(second, trickle)
}
