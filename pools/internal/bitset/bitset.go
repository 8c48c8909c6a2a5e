// Package bitset is the sets of members that decisions work on.
package bitset

import (
	"iter"
	"math/bits"
)

// Set is a set of a pool's members by their index in the pool, one bit each. One
// word is the common case; a pool of any size works the same way.
type Set []uint64

// WordsFor returns how many words a set of n members takes.
func WordsFor(n int) int { return max(1, (n+63)/64) }

// Has reports whether i is in s.
func (s Set) Has(i int) bool { return s[uint(i)>>6]>>(uint(i)&63)&1 != 0 }

// Add adds i to s.
func (s Set) Add(i int) { s[uint(i)>>6] |= 1 << (uint(i) & 63) }

// Remove removes i from s.
func (s Set) Remove(i int) { s[uint(i)>>6] &^= 1 << (uint(i) & 63) }

// Any reports whether s is not empty.
func (s Set) Any() bool {
	for _, w := range s {
		if w != 0 {
			return true
		}
	}
	return false
}

// Count returns how many members s has.
func (s Set) Count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Meets reports whether s and o, of one length, have a member in common.
func (s Set) Meets(o Set) bool {
	for i, w := range o {
		if w&s[i] != 0 {
			return true
		}
	}
	return false
}

// Holds reports whether all members of o, of one length, are in s.
func (s Set) Holds(o Set) bool {
	for i, w := range o {
		if w&^s[i] != 0 {
			return false
		}
	}
	return true
}

// Keep removes from s the members that are not in o.
func (s Set) Keep(o Set) {
	for i, w := range o {
		s[i] &= w
	}
}

// First returns the lowest member; s must not be empty.
func (s Set) First() int {
	i := 0
	for s[i] == 0 {
		i++
	}
	return i<<6 + bits.TrailingZeros64(s[i])
}

// After returns the lowest member above i, or the lowest of all if there is none;
// s must not be empty.
func (s Set) After(i int) int {
	i++
	at := i >> 6
	if at == len(s) {
		return s.First()
	}
	if w := s[at] >> (uint(i) & 63); w != 0 {
		return i + bits.TrailingZeros64(w)
	}
	for at++; at < len(s); at++ {
		if s[at] != 0 {
			return at<<6 + bits.TrailingZeros64(s[at])
		}
	}
	return s.First()
}

// Nth returns the member with k lower ones; s must have more than k members.
func (s Set) Nth(k int) int {
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
	panic("bitset: Nth of a smaller set")
}

// All yields the members, lowest first. It is for code off the query path.
func (s Set) All() iter.Seq[int] {
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
