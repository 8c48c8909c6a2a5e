package config

import (
	"math/rand/v2"
	"testing"
)

func TestSlicePoolReturnsDistinctZeroSlices(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s slicePool[uint64]
	taken := map[*uint64]bool{}
	for range 20_000 {
		n := random.IntN(40)
		if random.IntN(5_000) == 0 {
			n = s.maxBlock() + 1
		}
		list := s.take(n)
		if len(list) != n || cap(list) != n {
			t.Fatalf("length %d, capacity %d, want %d", len(list), cap(list), n)
		}
		for i := range list {
			if list[i] != 0 {
				t.Fatal("it was used before")
			}
			list[i] = 1
		}
		if n > 0 && taken[&list[0]] {
			t.Fatal("it was taken before")
		} else if n > 0 {
			taken[&list[0]] = true
		}
	}
}

func TestSmallSlicePoolHasNoSpareMemory(t *testing.T) {
	var s slicePool[Member]
	for range 3 {
		s.take(5)
	}
	if all := s.allocated + len(s.free); all > 2*s.allocated {
		t.Errorf("room for %d, %d taken", all, s.allocated)
	}
}
