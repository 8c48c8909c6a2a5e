package pools

import (
	"fmt"
	"slices"
)

// takeTurn begins a visit of a round-robin pool: it takes the pool's turn from
// the worker's count. A and AAAA are counted apart, or a client that asks for
// both in a row would never see the second half of its A. A question for both has
// a count of its own, and one turn for the two.
func (s *Scratch) takeTurn(v *frame) {
	if s.takeAgain(v) {
		return
	}
	if s.startAtRandom {
		s.SeedTurns(s.draw)
	}
	turn := &s.turns[uint32(turnCounters)*v.turn+uint32(s.turnCounter)]
	v.rounds = *turn
	*turn++
	if s.turnCounter == turnCounterOfBoth && s.family == IPv4 {
		s.taken = append(s.taken, taken{v.turn, v.rounds})
	}
}

// StartAtRandom lets the first decision that takes a turn seed the turns of all pools by its
// draw. Otherwise each new scratch starts at the first member, which would get more than its
// part after every reload and from every new worker and connection.
func (s *Scratch) StartAtRandom() { s.startAtRandom = true }

// SeedTurns sets the turn of every pool to one that follows from a draw.
func (s *Scratch) SeedTurns(draw uint64) {
	s.startAtRandom = false
	for i := range s.turns {
		s.turns[i] = uint32(seed(draw).draw(i))
	}
}

// takeAgain takes for the second of both families the turn that the pool had for
// the first, if it had one.
func (s *Scratch) takeAgain(v *frame) bool {
	if s.turnCounter != turnCounterOfBoth || s.family == IPv4 {
		return false
	}
	for i, t := range s.taken {
		if t.of == v.turn {
			v.rounds = t.turn
			s.taken = slices.Delete(s.taken, i, i+1)
			return true
		}
	}
	return false
}

// turnCounter is one of the counts of turns of a pool: the families have their own, and
// so have the questions for both.
type turnCounter uint8

// The lanes; those of the families have their numbers.
const (
	turnCounterOfBoth = turnCounter(IPv6) + 1
	turnCounters      = turnCounterOfBoth + 1
)

// taken is a turn that a pool had, by its pool.turn.
type taken struct{ of, turn uint32 }

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
func (s *Scratch) inTurn(v *frame, from bitset) int {
	n := uint32(from.count())
	k := v.rounds % n
	v.rounds /= n
	return from.nth(int(k))
}

// whyTurn tells the place that m had among those whose turns come round. Whose turn
// it is, nobody but a worker knows of itself.
func (s *Scratch) whyTurn(v *frame, from bitset, m int) string {
	place := 0
	for other := range from.all() {
		if place++; other == m {
			break
		}
	}
	return fmt.Sprintf("its turn: %d of %d eligible; each worker takes its own", place, from.count())
}
