package pools

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"meridian/pools/internal/bitset"
)

// unmeasured is the response time of a member without an address that has
// passed a probe.
const unmeasured = math.MaxUint64

// byResponse draws by weight among the members with the lowest response times:
//
//	response times       within a tenth, or a millisecond, of the lowest   drawn
//	20ms 21ms 80ms       20ms 21ms                                         one of these two, by weight
//	20ms 80ms unknown    20ms                                              that one
//	unknown unknown      both                                              one of them, by weight
//
// The margin, and how far probes must deviate before a new time is reported (package
// health), keep noise from moving clients back and forth. A member's time is
// the lowest of its addresses that are up, of both families, so that A and AAAA return
// one member; a nested pool's is the lowest in it.
func (s *Scratch) byResponse(v *frame, from bitset.Set, r uint64) int {
	limit := s.slowest(v, from)
	sum := uint64(0)
	s.eachWithin(v, from, limit, func(_ int, weight uint64) bool { sum += weight; return true })
	at, found := below(r, sum), -1
	s.eachWithin(v, from, limit, func(m int, weight uint64) bool {
		found = m
		if at < weight {
			return false
		}
		at -= weight
		return true
	})
	return found
}

// slowest returns the longest response time that still counts as fastest.
func (s *Scratch) slowest(v *frame, from bitset.Set) uint64 {
	best := uint64(unmeasured)
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			best = min(best, s.response(v, i<<6+bits.TrailingZeros64(w)))
		}
	}
	if best == unmeasured {
		return unmeasured
	}
	return best + max(best/10, uint64(time.Millisecond))
}

// eachWithin calls f for members with a response time of at most limit, with their
// reduced weights, until f returns false.
func (s *Scratch) eachWithin(v *frame, from bitset.Set, limit uint64, f func(m int, weight uint64) bool) {
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			if s.response(v, m) <= limit && !f(m, s.reducedWeight(v, m)) {
				return
			}
		}
	}
}

// response returns a member's response time in nanoseconds.
func (s *Scratch) response(v *frame, m int) uint64 {
	lowest := uint64(unmeasured)
	for _, target := range s.tree.timed.of(v.timed + uint32(m)) {
		took := s.state.word(s.tree.responses + target)
		if took != 0 && (v.basis == failOpen || !s.state.isDown(target)) {
			lowest = min(lowest, took)
		}
	}
	return lowest
}

// time lists the targets that determine the response time of each member of each
// `fastest` pool. There is no cycle.
func (c *compiler) time() {
	t := c.tree
	var lists [][]uint32
	for id := range t.pools {
		p := &t.pools[id]
		if p.policy != fastest {
			continue
		}
		p.timed = uint32(len(lists))
		for i := range p.members {
			seen := map[uint32]bool{}
			lists = append(lists, t.targetsBelow(nil, p.first+i, seen))
		}
	}
	if lists == nil {
		return
	}
	t.timed = newIndex(len(lists), func(yield func(uint32, uint32)) {
		for i, list := range lists {
			for _, target := range list {
				yield(uint32(i), target)
			}
		}
	})
}

// targetsBelow adds the targets of a member, or of the nested pool that it is,
// each once. Members that never serve do not count. seen are the pools walked.
func (t *Tree) targetsBelow(list []uint32, member uint32, seen map[uint32]bool) []uint32 {
	m := &t.members[member]
	if t.weights[member] == 0 {
		return list
	}
	if m.child == none {
		for _, r := range t.refs[m.first:][:m.addresses()] {
			if r.target != none && !slices.Contains(list, r.target) {
				list = append(list, r.target)
			}
		}
		return list
	}
	if seen[m.child] {
		return list
	}
	seen[m.child] = true
	child := &t.pools[m.child]
	for i := range child.members {
		list = t.targetsBelow(list, child.first+i, seen)
	}
	return list
}

// setResponseTime records the response time of a target, if a policy uses it.
func (d *builder) setResponseTime(target uint32, took time.Duration) {
	if d.tree.responses == none || took <= 0 {
		return
	}
	if at := d.tree.responses + target; d.word(at) != uint64(took) {
		d.setBit(at, uint64(took))
	}
}

// whyFastest explains why m was chosen.
func (s *Scratch) whyFastest(v *frame, from bitset.Set, m int) string {
	limit, among, sum := s.slowest(v, from), 0, uint64(0)
	s.eachWithin(v, from, limit, func(_ int, weight uint64) bool {
		among++
		sum += weight
		return true
	})
	weight := fmt.Sprintf("weight %.4g of %.4g", float64(s.reducedWeight(v, m))/fullWeight, float64(sum)/fullWeight)
	if limit == unmeasured {
		return "no response time is known; " + weight
	}
	text := "responds in " + rounded(s.response(v, m))
	if among == 1 {
		return text + ", the fastest"
	}
	return fmt.Sprintf("%s, one of %d of about the fastest; %s", text, among, weight)
}

// whySlower explains why m is not chosen.
func (s *Scratch) whySlower(v *frame, m int) string {
	limit, took := s.slowest(v, v.eligible), s.response(v, m)
	switch {
	case limit == unmeasured:
		return "not drawn: no response time is known"
	case took == unmeasured:
		return "no response time is known: comes after those with one"
	case took > limit:
		return fmt.Sprintf("slower: responds in %s, and up to %s counts as fastest", rounded(took), rounded(limit))
	}
	return fmt.Sprintf("not drawn: responds in %s, about as fast", rounded(took))
}

func rounded(took uint64) string {
	return time.Duration(took).Round(10 * time.Microsecond).String()
}

// chancesByResponse yields the probabilities of byResponse.
func (s *Scratch) chancesByResponse(v *frame, from bitset.Set, f func(m int, p float64)) {
	limit, sum := s.slowest(v, from), uint64(0)
	s.eachWithin(v, from, limit, func(_ int, weight uint64) bool { sum += weight; return true })
	s.eachWithin(v, from, limit, func(m int, weight uint64) bool {
		f(m, float64(weight)/float64(sum))
		return true
	})
}
