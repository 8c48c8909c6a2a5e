package geo

import (
	"slices"
	"testing"
	"unsafe"
)

func TestSettleKeepsLookups(t *testing.T) {
	for _, n := range []int{0, 1, 1000, hugePage / 4, hugePage} { // of leaves
		a := poptrie{root: []ref{1, 2, 3}, nodes: []popnode{{1, 2, 3, 4}}, leaves: make([]Leaf, n)}
		b := poptrie{root: []ref{4}, leaves: []Leaf{7}}
		for i := range a.leaves {
			a.leaves[i] = Leaf(i)
		}
		wantA := poptrie{slices.Clone(a.root), slices.Clone(a.nodes), slices.Clone(a.leaves)}
		settle(&a, &b)
		if !slices.Equal(a.root, wantA.root) || !slices.Equal(a.nodes, wantA.nodes) || !slices.Equal(a.leaves, wantA.leaves) {
			t.Errorf("%d leaves: a poptrie is not what it was", n)
		}
		if !slices.Equal(b.root, []ref{4}) || len(b.nodes) != 0 || !slices.Equal(b.leaves, []Leaf{7}) {
			t.Errorf("%d leaves: the second poptrie is %v", n, b)
		}
		if at := uintptr(unsafe.Pointer(&a.root[0])); n*4 >= hugePage && at%hugePage != 0 {
			t.Errorf("%d leaves: begin at %#x, in the middle of a huge page", n, at)
		}
	}
}
