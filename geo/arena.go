package geo

import "unsafe"

// arena is one block of memory for slices that are read at random. With small pages, a lookup would also miss on the
// page tables, twice in a virtual machine. Plain slices work as well, only slower.
type arena struct{ all, free []byte }

const (
	hugePage  = 2 << 20
	cacheLine = 64
)

// newArena allocates an arena of at least the given bytes, in whole huge pages.
func newArena(bytes int) *arena {
	bytes = (bytes + hugePage - 1) &^ (hugePage - 1)
	whole := make([]byte, bytes+hugePage)
	begin := int(-uintptr(unsafe.Pointer(&whole[0])) & (hugePage - 1))
	all := whole[begin:][:bytes:bytes]
	prefault(all)
	return &arena{all, all}
}

// settle moves poptries that are read together into one arena, on huge pages where the system has them. It returns the memory.
func settle(tries ...*poptrie) []byte {
	size := 0
	for _, p := range tries {
		size += sizeIn(p.root) + sizeIn(p.nodes) + sizeIn(p.leaves)
	}
	a := newArena(size)
	for _, p := range tries {
		p.root, p.nodes, p.leaves = moveTo(a, p.root), moveTo(a, p.nodes), moveTo(a, p.leaves)
	}
	collapseHugePages(a.all)
	return a.all
}

// packed lists the element types that an arena may hold. They have no pointers, because the collector does not scan
// an arena.
type packed interface{ ref | popnode | Leaf }

// sizeIn returns the bytes that s takes in an arena.
func sizeIn[T packed](s []T) int {
	var t T
	return (len(s)*int(unsafe.Sizeof(t)) + cacheLine - 1) &^ (cacheLine - 1)
}

// moveTo copies s into the arena, which has room for it.
func moveTo[T packed](a *arena, s []T) []T {
	if len(s) == 0 {
		return nil
	}
	moved := carve[T](a, uint64(len(s)))
	copy(moved, s)
	return moved
}

// carve returns a slice of n elements in the arena, which has room for it.
func carve[T packed](a *arena, n uint64) []T {
	if n == 0 {
		return nil
	}
	s := unsafe.Slice((*T)(unsafe.Pointer(&a.free[0])), n)
	a.free = a.free[sizeIn(s):]
	return s
}

// grown returns s with room for at least n more elements. It doubles the capacity: append copies slices of millions
// of elements ten times more often. Slices of that length get huge pages.
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
