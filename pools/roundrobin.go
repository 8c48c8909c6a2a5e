package pools

import (
	"fmt"
	"slices"

	"meridian/pools/internal/bitset"
)

// takeTurn begins a visit of a round-robin pool: it takes the pool's turn from
// the worker's counter. A and AAAA have separate counters, otherwise a client that asks for
// both in a row would never see the second half of its A. A request for both has
// its own counter, and one turn for the two.
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

// StartAtRandom makes the first decision that takes a turn seed the turns of all pools from its
// draw. Otherwise each new scratch starts at the first member, which would get more than its
// part after every reload and from every new worker and connection.
func (s *Scratch) StartAtRandom() { s.startAtRandom = true }

// SeedTurns sets the turn of every pool from a draw.
func (s *Scratch) SeedTurns(draw uint64) {
	s.startAtRandom = false
	for i := range s.turns {
		s.turns[i] = uint32(seed(draw).draw(i))
	}
}

// takeAgain reuses for the second of both families the turn that the pool took for
// the first, if any.
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

// turnCounter is one of the counters of a pool's turns: each family has its own, and
// so have the requests for both.
type turnCounter uint8

// Turn counters; those of the families have the families' numbers.
const (
	turnCounterOfBoth = turnCounter(IPv6) + 1
	turnCounters      = turnCounterOfBoth + 1
)

// taken is a turn that a pool took, by its pool.turn.
type taken struct{ of, turn uint32 }

// inTurn returns the member of the current turn:
//
//	turn   of 3 eligible   left of the turn
//	0      the first       0
//	1      the second      0
//	2      the third       0
//	3      the first       1
//
// The rest of the turn counts the rounds. If the member lacks the family,
// the rest chooses its substitute, so that substitutes take turns as well.
func (s *Scratch) inTurn(v *frame, from bitset.Set) int {
	n := uint32(from.Count())
	k := v.rounds % n
	v.rounds /= n
	return from.Nth(int(k))
}

// whyTurn returns the index of m among the eligible members. The turn itself is known
// only to its worker.
func (s *Scratch) whyTurn(v *frame, from bitset.Set, m int) string {
	place := 0
	for other := range from.All() {
		if place++; other == m {
			break
		}
	}
	return fmt.Sprintf("its turn: %d of %d eligible; each worker takes its own", place, from.Count())
}
