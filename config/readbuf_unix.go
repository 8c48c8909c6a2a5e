//go:build unix

package config

import "golang.org/x/sys/unix"

// textBuffer returns a buffer for a text of size octets. A large one is not on the heap, where it would stay until the
// next collection, after the whole start: release frees it at once. Nothing may refer to it afterwards.
func textBuffer(size int) (room []byte, release func()) {
	if size < manyBytes {
		return make([]byte, 0, size), func() {}
	}
	mapped, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, 0, size), func() {}
	}
	return mapped[:0], func() { _ = unix.Munmap(mapped) } // cannot fail for this mapping
}
