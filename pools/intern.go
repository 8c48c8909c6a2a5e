package pools

import "encoding/binary"

// interner gives each distinct address of a family a number, in the order in
// which they come: what a map does, without the cost of growing it to millions.
// The plain version is
//
//	number, known := map[a]
//	if !known { number = len(map); map[a] = number }
//
// It is a hash table of open addressing that is at most half full. Addresses
// that differ in their last bits alone, as those of one network do, share a
// line of the table, so that most need no memory that is not at hand already.
type interner[A comparable] struct {
	all   []A      // by number
	slots []uint32 // a number plus one; 0: free; a power of two long
	split func(A) (network uint64, host uint32)
}

// hostBits is how many of an address's last bits choose its place in a line.
const (
	hostBits = 4
	hostMask = 1<<hostBits - 1
)

// newInterner makes room for so many addresses at once.
func newInterner[A comparable](room int, split func(A) (uint64, uint32)) interner[A] {
	n := interner[A]{all: make([]A, 0, room), split: split}
	n.resize(room)
	return n
}

// id is the number of a; it is fresh if it was not known.
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

// slot is where a is, or would be.
func (n *interner[A]) slot(a A) int {
	network, host := n.split(a)
	const odd = 0x9e3779b97f4a7c15 // 2^64 by the golden ratio
	line := (network ^ network>>32) * odd >> 32
	mask := len(n.slots) - 1
	for at := (int(line)<<hostBits + int(host&hostMask)) & mask; ; at = (at + 1) & mask {
		if found := n.slots[at]; found == 0 || n.all[found-1] == a {
			return at
		}
	}
}

// resize makes the table large enough for so many addresses.
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
