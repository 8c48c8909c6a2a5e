package geo

import "golang.org/x/sys/unix"

// collapse puts b, as much memory as some huge pages and written to, on huge pages.
// It is only a hint: kernels before 6.1 do not know it.
func collapse(b []byte) { _ = unix.Madvise(b, unix.MADV_COLLAPSE) }
