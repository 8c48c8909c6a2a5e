package pools

import (
	"encoding/binary"
	"slices"
)

// interner numbers the distinct addresses of a family, in the order in
// which they arrive: it works as a map, without the cost of growing one to millions.
// The plain version is
//
//	number, known := map[a]
//	if !known { number = len(map); map[a] = number }
//
// It is a hash table with open addressing that is at most half full. Addresses
// that differ only in their last bits, as those of one network do, share a
// line of the table, so most lookups hit memory that is already cached.
type interner[A comparable] struct {
	all   []A      // by number
	slots []uint32 // a number plus one; 0: free; a power of two long
	split func(A) (network uint64, host uint32)
}

// hostBits is how many of an address's last bits select its slot in a line.
const (
	hostBits = 4
	hostMask = 1<<hostBits - 1
)

// newInterner allocates room for that many addresses.
func newInterner[A comparable](room int, split func(A) (uint64, uint32)) interner[A] {
	n := interner[A]{all: make([]A, 0, room), split: split}
	n.resize(room)
	return n
}

// clone returns a copy that numbers more, without changing n.
func (n *interner[A]) clone() interner[A] {
	return interner[A]{slices.Clip(n.all), slices.Clone(n.slots), n.split}
}

// id returns the number of a; fresh reports that it is new.
func (n *interner[A]) id(a A) (number uint32, fresh bool) {
	at := n.slot(a)
	if found := n.slots[at]; found != 0 {
		return found - 1, false
	}
	number = uint32(len(n.all))
	n.all = append(n.all, a)
	n.slots[at] = number + 1
	if 2*len(n.all) > len(n.slots) {
		n.resize(2 * len(n.all))
	}
	return number, true
}

// slot returns where a is, or would be.
func (n *interner[A]) slot(a A) int {
	network, host := n.split(a)
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	line := (network ^ network>>32) * odd >> 32
	mask := len(n.slots) - 1
	for at := (int(line)<<hostBits + int(host&hostMask)) & mask; ; at = (at + 1) & mask {
		if found := n.slots[at]; found == 0 || n.all[found-1] == a {
			return at
		}
	}
}

// resize makes the table large enough for that many addresses.
func (n *interner[A]) resize(room int) {
	size := 1 << hostBits
	for size < 2*room {
		size *= 2
	}
	n.slots = make([]uint32, size)
	for i, a := range n.all {
		n.slots[n.slot(a)] = uint32(i) + 1
	}
}

func splitV4(a [4]byte) (network uint64, host uint32) {
	bits := binary.BigEndian.Uint32(a[:])
	return uint64(bits >> hostBits), bits
}

func splitV6(a [16]byte) (network uint64, host uint32) {
	const odd = 0xff51afd7ed558ccd // so that both halves count
	high, low := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])
	return (high*odd ^ high>>29) + low>>hostBits, uint32(low)
}
