package xdp

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is a queue in memory that the kernel shares, with one producer and one consumer: the one of them is the kernel.
// An element is a descriptor of a frame, or the place of one.
type ring[T unix.XDPDesc | uint64] struct {
	memory   []byte
	producer *uint32
	consumer *uint32
	flags    *uint32
	elements []T
	at       uint32 // the next element that this side writes or reads
}

// mapRing maps a ring of a socket that has so many elements: a power of 2.
func mapRing[T unix.XDPDesc | uint64](fd int, offset unix.XDPRingOffset, page int64, size int) (*ring[T], error) {
	var element T
	memory, err := unix.Mmap(fd, page, int(offset.Desc)+size*int(unsafe.Sizeof(element)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	at := func(offset uint64) unsafe.Pointer { return unsafe.Pointer(&memory[offset]) }
	return &ring[T]{
		memory:   memory,
		producer: (*uint32)(at(offset.Producer)), consumer: (*uint32)(at(offset.Consumer)), flags: (*uint32)(at(offset.Flags)),
		elements: unsafe.Slice((*T)(at(offset.Desc)), size),
	}, nil
}

func (r *ring[T]) unmap() {
	if r != nil {
		_ = unix.Munmap(r.memory) // it fails for memory that is not mapped only
	}
}

// available returns how many elements the kernel has produced that next has not returned.
func (r *ring[T]) available() int { return int(atomic.LoadUint32(r.producer) - r.at) }

// next returns the next element. There must be one available.
func (r *ring[T]) next() T {
	e := r.elements[r.at&uint32(len(r.elements)-1)]
	r.at++
	return e
}

// consumed returns to the kernel the room of the elements that next has returned.
func (r *ring[T]) consumed() { atomic.StoreUint32(r.consumer, r.at) }

// put writes an element. The caller knows that there is room: it never has more frames than elements.
func (r *ring[T]) put(e T) {
	r.elements[r.at&uint32(len(r.elements)-1)] = e
	r.at++
}

// produced gives the elements that put has written to the kernel.
func (r *ring[T]) produced() { atomic.StoreUint32(r.producer, r.at) }

// pending returns how many elements the kernel has not consumed yet.
func (r *ring[T]) pending() int { return int(r.at - atomic.LoadUint32(r.consumer)) }

// needsWakeup reports whether the kernel looks at the ring only after a system call.
func (r *ring[T]) needsWakeup() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
