package bitset

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBitsetMatchesSortedList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		n := 1 + rnd.IntN(200)
		s, other := make(Set, WordsFor(n)), make(Set, WordsFor(n))
		var list, both []int
		for i := range n {
			in, inOther := rnd.IntN(4) == 0, rnd.IntN(8) == 0
			if in {
				s.Add(i)
				list = append(list, i)
			}
			if inOther {
				other.Add(i)
			}
			if in && inOther {
				both = append(both, i)
			}
		}
		expect(t, "all", slices.Equal(slices.Collect(s.All()), list), true)
		expect(t, "count", s.Count(), len(list))
		expect(t, "any", s.Any(), len(list) > 0)
		expect(t, "meets", s.Meets(other), len(both) > 0)
		for k, i := range list {
			expect(t, "has", s.Has(i), true)
			expect(t, "nth", s.Nth(k), i)
			expect(t, "after", s.After(i), list[(k+1)%len(list)])
		}
		if len(list) > 0 {
			expect(t, "first", s.First(), list[0])
			at := rnd.IntN(n) // from a member that is not in the set, too
			next := slices.IndexFunc(list, func(i int) bool { return i > at })
			expect(t, "after any", s.After(at), list[max(0, next)])
			s.Remove(list[0])
			expect(t, "removed", s.Has(list[0]), false)
		}
		s.Keep(other)
		expect(t, "kept", s.Count(), len(both)-btoi(len(list) > 0 && slices.Contains(both, list[0])))
	}
}

// expect compares without fmt, which would take most of the time.
func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
