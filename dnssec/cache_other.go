//go:build !unix

package dnssec

import "sync/atomic"

// allocate returns memory of the heap.
func allocate(words int) (memory []atomic.Uint64, release func()) {
	return make([]atomic.Uint64, words), nil
}
