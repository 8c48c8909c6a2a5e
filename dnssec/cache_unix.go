//go:build unix

package dnssec

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// allocate returns memory outside the heap, where it would double what the garbage collector lets the heap grow to.
func allocate(words int) (memory []atomic.Uint64, release func()) {
	mapped, err := unix.Mmap(-1, 0, 8*words, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]atomic.Uint64, words), nil
	}
	memory = unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&mapped[0])), words)
	return memory, func() { _ = unix.Munmap(mapped) } // cannot fail for this mapping
}
