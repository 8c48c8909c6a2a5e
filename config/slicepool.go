package config

import "unsafe"

// slicePool cuts slices of T from large ones: a list for each of many pools then costs no allocation. Slices are never
// returned.
type slicePool[T any] struct {
	free      []T
	allocated int // total so far
}

// manyBytes is the size of the largest blocks, and the size from which on a text is not on the heap.
const manyBytes = 4 << 20

// take returns a slice of n zero T with no spare capacity.
func (s *slicePool[T]) take(n int) []T {
	if n > len(s.free) {
		s.free = make([]T, max(n, min(s.allocated, s.maxBlock())))
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	s.allocated += n
	return taken
}

// maxBlock returns the largest number of T in one block.
func (*slicePool[T]) maxBlock() int {
	var t T
	return manyBytes / int(unsafe.Sizeof(t))
}
