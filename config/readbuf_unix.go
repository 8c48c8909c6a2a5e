//go:build unix

package config

import "golang.org/x/sys/unix"

// textRoom is room for a text of size octets. Much of it is not of the heap, on
// which it would stay until the collector comes by, after the whole start: release
// gives it back at once. Nothing may refer to it by then.
func textRoom(size int) (room []byte, release func()) {
	if size < manyBytes {
		return make([]byte, 0, size), func() {}
	}
	mapped, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, 0, size), func() {}
	}
	return mapped[:0], func() { _ = unix.Munmap(mapped) } // fails for no mapping of ours
}
