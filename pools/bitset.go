package pools

import (
	"iter"
	"math/bits"
)

// bitset is a set of a pool's members by their index in the pool, one bit each. One
// word is the common case; a pool of any size works the same way.
type bitset []uint64

// wordsFor returns how many words a set of n members takes.
func wordsFor(n int) int { return max(1, (n+63)/64) }

func (s bitset) has(i int) bool { return s[uint(i)>>6]>>(uint(i)&63)&1 != 0 }

func (s bitset) add(i int) { s[uint(i)>>6] |= 1 << (uint(i) & 63) }

func (s bitset) remove(i int) { s[uint(i)>>6] &^= 1 << (uint(i) & 63) }

func (s bitset) any() bool {
	for _, w := range s {
		if w != 0 {
			return true
		}
	}
	return false
}

func (s bitset) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// meets reports whether s and o, of one length, have a member in common.
func (s bitset) meets(o bitset) bool {
	for i, w := range o {
		if w&s[i] != 0 {
			return true
		}
	}
	return false
}

// holds reports whether all members of o, of one length, are in s.
func (s bitset) holds(o bitset) bool {
	for i, w := range o {
		if w&^s[i] != 0 {
			return false
		}
	}
	return true
}

// keep removes from s the members that are not in o.
func (s bitset) keep(o bitset) {
	for i, w := range o {
		s[i] &= w
	}
}

// first returns the lowest member; s must not be empty.
func (s bitset) first() int {
	i := 0
	for s[i] == 0 {
		i++
	}
	return i<<6 + bits.TrailingZeros64(s[i])
}

// after returns the lowest member above i, or the lowest of all if there is none;
// s must not be empty.
func (s bitset) after(i int) int {
	i++
	at := i >> 6
	if at == len(s) {
		return s.first()
	}
	if w := s[at] >> (uint(i) & 63); w != 0 {
		return i + bits.TrailingZeros64(w)
	}
	for at++; at < len(s); at++ {
		if s[at] != 0 {
			return at<<6 + bits.TrailingZeros64(s[at])
		}
	}
	return s.first()
}

// nth returns the member with k lower ones; s must have more than k members.
func (s bitset) nth(k int) int {
	for i, w := range s {
		n := bits.OnesCount64(w)
		if k >= n {
			k -= n
			continue
		}
		for ; k > 0; k-- {
			w &= w - 1
		}
		return i<<6 + bits.TrailingZeros64(w)
	}
	panic("pools: nth of a smaller set")
}

// all yields the members, lowest first. It is for code off the query path.
func (s bitset) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(i<<6 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}
