package config

import "unsafe"

// slicePool gives out slices of T that are cut from large ones: a list for each of
// many pools then costs no allocation. Lists that are taken are never given back.
type slicePool[T any] struct {
	free  []T
	given int // since ever
}

// manyBytes is the size of the largest pieces, and from where on a text is kept off the heap.
const manyBytes = 4 << 20

// take is n of T, all zero, and no room behind them.
func (s *slicePool[T]) take(n int) []T {
	if n > len(s.free) {
		s.free = make([]T, max(n, min(s.given, s.most())))
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	s.given += n
	return taken
}

// most is the largest number of T to be held in stock.
func (*slicePool[T]) most() int {
	var t T
	return manyBytes / int(unsafe.Sizeof(t))
}
