package geo

import "unsafe"

// arena is one piece of memory for slices that are read at random. Small pages
// would make a lookup wait for the page tables beside the memory itself, twice over
// in a virtual machine. Plain slices would do as well, only slower.
type arena struct{ all, free []byte }

const (
	hugePage  = 2 << 20
	cacheLine = 64
)

// newArena is an arena of some bytes, of whole huge pages.
func newArena(bytes int) *arena {
	bytes = (bytes + hugePage - 1) &^ (hugePage - 1)
	whole := make([]byte, bytes+hugePage)
	begin := int(-uintptr(unsafe.Pointer(&whole[0])) & (hugePage - 1))
	all := whole[begin:][:bytes:bytes]
	prefault(all)
	return &arena{all, all}
}

// settle moves poptries, which are asked together, into an arena of their own,
// and that onto huge pages where the system has some.
func settle(tries ...*poptrie) {
	size := 0
	for _, p := range tries {
		size += sizeIn(p.root) + sizeIn(p.nodes) + sizeIn(p.leaves)
	}
	a := newArena(size)
	for _, p := range tries {
		p.root, p.nodes, p.leaves = moveTo(a, p.root), moveTo(a, p.nodes), moveTo(a, p.leaves)
	}
	collapseHugePages(a.all)
}

// packed is what an arena may hold: it has no pointers, for the collector does not
// look for any there.
type packed interface{ ref | popnode | Leaf }

// sizeIn is how much of an arena s takes.
func sizeIn[T packed](s []T) int {
	var t T
	return (len(s)*int(unsafe.Sizeof(t)) + cacheLine - 1) &^ (cacheLine - 1)
}

// moveTo is s in the arena, which has room for it.
func moveTo[T packed](a *arena, s []T) []T {
	if len(s) == 0 {
		return nil
	}
	moved := unsafe.Slice((*T)(unsafe.Pointer(&a.free[0])), len(s))
	a.free = a.free[sizeIn(s):]
	copy(moved, s)
	return moved
}

// grown is s with room for at least n more. It doubles, unlike append, which copies
// what is millions long ten times more; and what is that long gets huge pages.
func grown[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	g := make([]T, 2*len(s)+max(n, 1024))
	if size := len(g) * int(unsafe.Sizeof(g[0])); size >= 2*hugePage {
		prefault(unsafe.Slice((*byte)(unsafe.Pointer(&g[0])), size))
	}
	return g[:copy(g, s)]
}
