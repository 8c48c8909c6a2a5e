package pools

import (
	"fmt"

	"meridian/pools/internal/bitset"
)

// anyOf returns one member, each with the same probability, whatever the weights:
//
//	eligible   answers            answered
//	a b c      0 (the default)    a, b and c, in any of their six orders
//	a b c      2                  two of them, each pair with the same probability
//	a          -                  a
func anyOf(from bitset.Set, r uint64) int { return from.Nth(int(below(r, uint64(from.Count())))) }

// whyAny explains why `all` chose a member.
func whyAny(v *frame, from bitset.Set) string {
	if v.wanted == 0 {
		return "every eligible member is answered"
	}
	return fmt.Sprintf("drawn: each of the %d left is as likely", from.Count())
}

// chancesEven yields equal probabilities: those of anyOf, and of round-robin while the turn is not known.
func chancesEven(from bitset.Set, f func(m int, p float64)) {
	each := 1 / float64(from.Count())
	for m := range from.All() {
		f(m, each)
	}
}
