package geo

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// collapseHugePages puts b, as much memory as some huge pages and written to, on huge pages.
// It is only a hint: kernels before 6.1 do not know it.
func collapseHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_COLLAPSE) }

// prefault puts those parts of b that are not written to yet on huge pages as soon as
// they are: a fault and a clearing for 2 MiB in place of 512 of them. It is only a hint.
// Of b, which is much, whole pages count.
func prefault(b []byte) {
	page := uintptr(os.Getpagesize())
	begin := -uintptr(unsafe.Pointer(&b[0])) & (page - 1)
	_ = unix.Madvise(b[begin:begin+(uintptr(len(b))-begin)&^(page-1)], unix.MADV_HUGEPAGE)
}
