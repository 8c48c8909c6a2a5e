//go:build unix

package geo

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a regular file of size bytes into memory. unmap removes the mapping.
func mapFile(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

// dropPages returns the pages of a mapped file to the kernel. A later read loads them from the file.
func dropPages(data []byte) error {
	return unix.Madvise(data, unix.MADV_DONTNEED)
}

func unmap(data []byte) error { return unix.Munmap(data) }
