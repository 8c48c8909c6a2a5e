package geo

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// collapseHugePages moves b to huge pages. b has the size of several huge pages and is written already. It is only a
// hint: kernels before 6.1 do not support it.
func collapseHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_COLLAPSE) }

// prefault requests huge pages for the parts of b that are not written yet. One page fault then clears 2 MiB, instead
// of 512 faults. It is only a hint, and applies to whole pages of b, which is large.
func prefault(b []byte) {
	page := uintptr(os.Getpagesize())
	begin := -uintptr(unsafe.Pointer(&b[0])) & (page - 1)
	_ = unix.Madvise(b[begin:begin+(uintptr(len(b))-begin)&^(page-1)], unix.MADV_HUGEPAGE)
}
