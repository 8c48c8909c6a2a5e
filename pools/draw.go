package pools

import "math/bits"

// golden is 2^64 over the golden ratio, the step of splitmix64.
const golden = 0x9e3779b97f4a7c15

// A seed is the randomness of one visit to a pool. Its draws are numbered
// rather than taken from a stream, so that how many draws one family needs
// cannot shift those of the other: the A and the AAAA of one draw keep company.
type seed uint64

// draw is the n-th random number of a seed.
func (s seed) draw(n int) uint64 { return mix(uint64(s) + golden*uint64(n+1)) }

// hopStep separates the draws of the pools of one CNAME chain. It is not golden, by which
// seeds and turns are numbered.
const hopStep = 0xd1342543de82ef95

// DrawOfHop returns the draw of the pool that is decided after n others in one chain of CNAMEs:
// of the first the draw itself, of each later one a number that is unrelated to the others.
func DrawOfHop(draw uint64, n int) uint64 {
	if n == 0 {
		return draw
	}
	return mix(draw + hopStep*uint64(n))
}

// below maps the random number r onto 0..n-1 (Lemire's multiplication; the bias
// is under n/2^64, nothing for the weights that a pool can have).
func below(r, n uint64) uint64 {
	hi, _ := bits.Mul64(r, n)
	return hi
}

// mix is the output function of splitmix64: nearby inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
