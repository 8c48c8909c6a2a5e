package pools

import "fmt"

// takeTurn begins a visit of a round-robin pool: it takes the pool's turn from
// the worker's count. A and AAAA are counted apart, or a client that asks for
// both in a row would never see the second half of its A.
func (s *Scratch) takeTurn(v *visit) {
	turn := &s.turns[2*v.turn+uint32(s.family)]
	v.rounds = *turn
	*turn++
}

// inTurn is the member whose turn it is:
//
//	turn   of 3 eligible   left of the turn
//	0      the first       0
//	1      the second      0
//	2      the third       0
//	3      the first       1
//
// What is left of the turn counts the rounds. When the member lacks the family,
// its stand-in is chosen by that, so that those who stand in take turns as well.
func (s *Scratch) inTurn(v *visit, from set) int {
	n := uint32(from.count())
	k := v.rounds % n
	v.rounds /= n
	return from.nth(int(k))
}

// whyTurn tells the place that m had among those whose turns come round.
func (s *Scratch) whyTurn(v *visit, from set, m int) string {
	place := 0
	for other := range from.all() {
		if place++; other == m {
			break
		}
	}
	return fmt.Sprintf("its turn: %d of %d eligible", place, from.count())
}
