package config

import "golang.org/x/sys/unix"

// onHugePages asks for b, as yet untouched, to be on huge pages: a fault and a
// clearing for 2 MiB in place of 512 of them. It is only a hint to the kernel.
func onHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
