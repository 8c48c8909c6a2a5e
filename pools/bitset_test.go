package pools

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBitsetMatchesSortedList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range rounds(2000) {
		n := 1 + rnd.IntN(200)
		s, other := make(bitset, wordsFor(n)), make(bitset, wordsFor(n))
		var list, both []int
		for i := range n {
			in, inOther := rnd.IntN(4) == 0, rnd.IntN(8) == 0
			if in {
				s.add(i)
				list = append(list, i)
			}
			if inOther {
				other.add(i)
			}
			if in && inOther {
				both = append(both, i)
			}
		}
		expect(t, "all", slices.Collect(s.all()), list)
		expect(t, "count", s.count(), len(list))
		expect(t, "any", s.any(), len(list) > 0)
		expect(t, "meets", s.meets(other), len(both) > 0)
		for k, i := range list {
			expect(t, "has", s.has(i), true)
			expect(t, "nth", s.nth(k), i)
			expect(t, "after", s.after(i), list[(k+1)%len(list)])
		}
		if len(list) > 0 {
			expect(t, "first", s.first(), list[0])
			at := rnd.IntN(n) // from a member that is not in the set, too
			next := slices.IndexFunc(list, func(i int) bool { return i > at })
			expect(t, "after any", s.after(at), list[max(0, next)])
			s.remove(list[0])
			expect(t, "removed", s.has(list[0]), false)
		}
		s.keep(other)
		expect(t, "kept", s.count(), len(both)-btoi(len(list) > 0 && slices.Contains(both, list[0])))
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
