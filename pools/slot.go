package pools

import (
	"slices"
	"time"
)

// A slot is one TTL of a client network under sticky: ttl. In it the network keeps its member, so
// that the A, AAAA and HTTPS requests of a client get one member; the next slot counts as
// another network. Each network has its own phase, otherwise all clients would move at once:
//
//	time, TTL 30   ...00:00          00:30          01:00...
//	phase 0        |----- slot ------|---- slot ----|
//	phase 12       ---|----- slot -------|---- slot ---
//
// It is computed from the network, the TTL and the time alone: nodes with synchronized clocks answer
// equally. Over many slots each member is chosen in proportion to its weight.

// UsesTime reports whether the decision of some pool depends on the time.
func (t *Tree) UsesTime() bool {
	return slices.ContainsFunc(t.pools, func(p pool) bool { return p.perTTL })
}

// networkNow returns the hash of the client's network, under sticky: ttl that of its slot.
func (s *Scratch) networkNow(v *frame) uint64 {
	network := v.network(s.client)
	if !v.perTTL {
		return network
	}
	ttl := s.slotLength()
	return mix(network + mix((uint64(s.Time)+network%ttl)/ttl))
}

// StepSlot is the slot of a Step's client network.
type StepSlot struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// slotOf returns the current slot of the client's network.
func (s *Scratch) slotOf(v *frame) StepSlot {
	ttl := s.slotLength()
	passed := (uint64(s.Time) + v.network(s.client)%ttl) % ttl
	from := time.Unix(int64(uint64(s.Time)-passed), 0).UTC()
	return StepSlot{from, from.Add(time.Duration(ttl) * time.Second)}
}

// slotLength returns the length of a slot in seconds.
func (s *Scratch) slotLength() uint64 { return uint64(max(1, s.TTL)) }
