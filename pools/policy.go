package pools

import (
	"meridian/config"
	"meridian/pools/internal/bitset"
)

// policy is a config.Policy as a number. A sticky weighted or round-robin pool draws
// as hash does, and has its number.
type policy uint8

const (
	proximity policy = iota
	geolocation
	weighted
	roundRobin
	failover
	hash
	fastest
	latency
	leastLoad
	all
)

// policies are the numbers of the policies.
var policies = map[config.Policy]policy{
	config.Proximity:     proximity,
	config.Geolocation:   geolocation,
	config.Weighted:      weighted,
	config.RoundRobin:    roundRobin,
	config.Failover:      failover,
	config.Hash:          hash,
	config.Fastest:       fastest,
	config.LatencyPolicy: latency,
	config.LeastLoad:     leastLoad,
	config.AllMembers:    all,
}

// policyOf returns the number of a pool's policy; false if the name is unknown.
func policyOf(p *config.Pool) (policy, bool) {
	number, ok := policies[p.Policy]
	if p.Sticky && (number == weighted || number == roundRobin) {
		return hash, ok
	}
	return number, ok
}

// narrow leaves in v.eligible the members that the policy may choose from for this request,
// possibly none.
func (s *Scratch) narrow(v *frame) {
	switch v.policy {
	case proximity, latency:
		s.narrowToNearest(v)
	case geolocation:
		s.narrowToMatch(v)
	case roundRobin:
		s.takeTurn(v)
	case hash:
		s.lookAtNetwork(v)
	case weighted, failover, fastest, leastLoad, all: // all eligible members
	}
}

// choose returns the policy's choice from a set that is not empty. r is random.
func (s *Scratch) choose(v *frame, from bitset.Set, r uint64) int {
	switch v.policy {
	case roundRobin:
		return s.inTurn(v, from)
	case failover:
		return v.inOrder(from, r)
	case hash:
		return s.byHash(v, from)
	case fastest:
		return s.byResponse(v, from, r)
	case leastLoad:
		return s.byFreeCapacity(v, from, r)
	case all:
		return anyOf(from, r)
	default: // proximity, geolocation, weighted, latency
		if v.byNetwork {
			return s.byHash(v, from)
		}
		return s.byWeight(v, from, r)
	}
}

// chances calls f with each member of a set that choose may choose, and its
// probability. Round-robin counts as if its turns were random, sticky: ttl as if the time were.
func (s *Scratch) chances(v *frame, from bitset.Set, f func(m int, p float64)) {
	switch v.policy {
	case roundRobin, all:
		chancesEven(from, f)
	case failover:
		v.chancesInOrder(from, f)
	case hash:
		if v.perTTL {
			s.chancesByWeight(v, from, f)
			return
		}
		f(s.byHash(v, from), 1)
	case fastest:
		s.chancesByResponse(v, from, f)
	case leastLoad:
		s.chancesByFreeCapacity(v, from, f)
	default: // proximity, geolocation, weighted, latency
		if v.byNetwork {
			f(s.byHash(v, from), 1)
			return
		}
		s.chancesByWeight(v, from, f)
	}
}

// redraws reports whether each member of an answer is chosen independently. Otherwise
// the members after the first follow it in a circle. If all members are answered the
// order matters only to `all`, which shuffles.
func (v *frame) redraws(answersAll bool) bool {
	switch v.policy {
	case all:
		return true
	case roundRobin:
		return false
	case failover:
		return v.trickle > 0 || v.spread
	default:
		return !answersAll
	}
}

// why explains a choice of choose.
func (s *Scratch) why(v *frame, from bitset.Set, m int) string {
	switch v.policy {
	case proximity:
		return s.whyNearest(v, from, m)
	case latency:
		return s.whyQuickest(v, from, m)
	case geolocation:
		return s.whyMatch(v, from, m)
	case weighted:
		return s.whyWeight(v, from, m)
	case roundRobin:
		return s.whyTurn(v, from, m)
	case failover:
		return s.whyOrder(v, from, m)
	case hash:
		return s.whyHash(v, from, m)
	case fastest:
		return s.whyFastest(v, from, m)
	case leastLoad:
		return s.whyFreeCapacity(v, from, m)
	default:
		return whyAny(v, from)
	}
}

// whyNot explains, before any draw, why a member that the
// policy left is not in an answer with other members.
func (s *Scratch) whyNot(v *frame, m int) string {
	switch v.policy {
	case failover:
		return s.whyBehind(v, m)
	case hash:
		return s.whyOtherHash(v, m)
	case fastest:
		return s.whySlower(v, m)
	case leastLoad:
		return s.whyNoFreeCapacity(v, m)
	default: // the others draw, and their probabilities are shown
		return "not drawn"
	}
}
