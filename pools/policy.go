package pools

import "meridian/config"

// policy is a config.Policy, numbered.
type policy uint8

const (
	proximity policy = iota
	weighted
	roundRobin
	failover
)

// policyOf numbers a policy; false where there is none of the name.
func policyOf(name config.Policy) (policy, bool) {
	switch name {
	case config.Proximity:
		return proximity, true
	case config.Weighted:
		return weighted, true
	case config.RoundRobin:
		return roundRobin, true
	case config.Failover:
		return failover, true
	}
	return 0, false
}

// narrow leaves in v.eligible what the policy may choose from for this question.
func (s *Scratch) narrow(v *visit) {
	switch v.policy {
	case proximity:
		s.narrowToNearest(v)
	case roundRobin:
		s.takeTurn(v)
	case weighted, failover: // all that is eligible
	}
}

// choose is the policy's choice from a set that is not empty. r is random.
func (s *Scratch) choose(v *visit, from set, r uint64) int {
	switch v.policy {
	case roundRobin:
		return s.inTurn(v, from)
	case failover:
		return inOrder(from)
	default: // proximity, weighted
		return s.byWeight(v, from, r)
	}
}

// redraws reports whether each member of an answer is chosen anew. Otherwise
// those after the first follow it in a circle.
func (p policy) redraws() bool { return p == proximity || p == weighted }

// why tells in plain words the reason for a choice that choose made.
func (s *Scratch) why(v *visit, from set, m int) string {
	switch v.policy {
	case proximity:
		return s.whyNearest(v, from, m)
	case weighted:
		return s.whyWeight(v, from, m)
	case roundRobin:
		return s.whyTurn(v, from, m)
	default:
		return whyOrder()
	}
}
