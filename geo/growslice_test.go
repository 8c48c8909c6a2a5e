package geo

import (
	"slices"
	"testing"
)

func TestGrownKeepsElementsAndHasRoom(t *testing.T) {
	var s []uint64
	for i := range 1_500_000 { // past the size that gets huge pages
		s = append(grown(s, 1), uint64(i))
	}
	for i, v := range s {
		if v != uint64(i) {
			t.Fatalf("place %d holds %d", i, v)
		}
	}
	for _, n := range []int{0, 1, 1024, 100_000} {
		g := grown(slices.Clip([]uint64{1, 2, 3}), n)
		if len(g) != 3 || cap(g)-len(g) < n {
			t.Errorf("for %d more: length %d, capacity %d", n, len(g), cap(g))
		}
	}
	if g := grown(s, 0); &g[0] != &s[0] {
		t.Error("it moved though there was room")
	}
}
