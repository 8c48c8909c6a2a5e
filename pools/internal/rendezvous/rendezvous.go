// Package rendezvous compares the scores of weighted rendezvous hashing in integers: a score is
// the Cost of a hash divided by a weight, and the lowest wins.
package rendezvous

import "math/bits"

// Table is a table of log2(1+i/1024) as parts of 2^48. It uses integers because all
// nodes must agree on every score to the last bit, and a floating-point logarithm
// may differ between processors.
type Table [steps + 1]uint64

const (
	stepBits = 10
	steps    = 1 << stepBits
	unitBits = 48 // of one whole logarithm
)

// NewTable computes the table by squaring: the logarithm of a square is
// twice the logarithm, so each squaring yields one bit.
func NewTable() *Table {
	var l Table
	for i := range steps {
		y := uint64(steps+i) << (63 - stepBits) // 1+i/steps as parts of 2^63
		for range unitBits {
			hi, lo := bits.Mul64(y, y) // parts of 2^126
			l[i] <<= 1
			if y = hi<<1 | lo>>63; hi>>63 != 0 { // the square is 2 or more
				l[i]++
				y = hi
			}
		}
	}
	l[steps] = 1 << unitBits
	return &l
}

// Cost returns -log2(x / 2^64) as parts of 2^48, linear between the steps of the
// table; x = 0 counts as 1. It decreases as x grows.
func (l *Table) Cost(x uint64) uint64 {
	x |= 1
	lead := bits.LeadingZeros64(x)
	rest := x << lead << 1 // after the leading one
	at := rest >> (64 - stepBits)
	part, _ := bits.Mul64(l[at+1]-l[at], rest<<stepBits)
	return uint64(lead+1)<<unitBits - l[at] - part
}

// Less reports whether a/v is less than b/w.
func Less(a, v, b, w uint64) bool {
	hi, lo := bits.Mul64(a, w)
	otherHi, otherLo := bits.Mul64(b, v)
	return hi < otherHi || hi == otherHi && lo < otherLo
}
