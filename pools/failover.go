package pools

import (
	"fmt"
	"math"
)

// inOrder is the first member in the order written, or, of as many draws as
// `trickle` says, the second:
//
//	primary   secondary   trickle   chosen
//	eligible  -           none      primary
//	eligible  eligible    5%        primary in 95 % of the draws, secondary in 5 %
//	eligible  not         5%        the next eligible one in the secondary's place
//	not       eligible    none      secondary
//	one alone             -         that one
//	none                  -         the pool is not live and nobody comes here
//
// With `answers: n` it is the first n; under a trickle each draw is one of the
// first two that are left.
func (v *frame) inOrder(from bitset, r uint64) int {
	first := from.first()
	if r >= v.trickle {
		return first
	}
	return from.after(first) // the first again where it is alone
}

// whyOrder tells why failover chose a member.
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

// whyBehind tells why failover does not choose a member first:
//
//	member                trickle  reason
//	the first eligible    none     that it is it, which whyOrder says
//	the first eligible    5%       its share of the draws, likewise
//	the second eligible   5%       its share, likewise
//	any other             -        whom it comes after
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

// chancesInOrder is inOrder before the draw.
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
