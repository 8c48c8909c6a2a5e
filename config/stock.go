package config

import (
	"os"
	"unsafe"
)

// stock gives out slices of T that are cut from large ones: a list for each of
// many pools then costs neither an allocation nor, where there are really many, a
// fault a small page. Lists that are taken are never given back.
type stock[T any] struct {
	free  []T
	given int // since ever
}

// manyBytes is from where on memory is worth huge pages.
const manyBytes = 4 << 20

// take is n of T, as zero as they come, and no room behind them.
func (s *stock[T]) take(n int) []T {
	if n > len(s.free) {
		s.free = untouched[T](max(n, min(s.given, s.most())))
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	s.given += n
	return taken
}

// most is the largest number of T to be held in stock.
func (*stock[T]) most() int {
	var t T
	return 4 * manyBytes / int(unsafe.Sizeof(t))
}

// untouched is n of T on huge pages if they are many.
func untouched[T any](n int) []T {
	all := make([]T, n)
	if size := n * int(unsafe.Sizeof(all[0])); size >= manyBytes {
		onHugePages(wholePages(unsafe.Slice((*byte)(unsafe.Pointer(&all[0])), size)))
	}
	return all
}

// wholePages is the part of b that is whole pages, of which alone the kernel takes hints.
func wholePages(b []byte) []byte {
	page := uintptr(os.Getpagesize())
	begin := -uintptr(unsafe.Pointer(&b[0])) & (page - 1)
	return b[begin : begin+(uintptr(len(b))-begin)&^(page-1)]
}
