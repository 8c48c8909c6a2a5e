package pools

import (
	"net/netip"
	"time"

	"meridian/config"
)

// Resolved is the last resolution of a member's target.
type Resolved struct {
	Addresses []netip.Addr // unicast, each once, IPv4 in its own form
	Since     time.Time    // when the addresses last changed
}

// Resolve returns the same pools with these addresses for the members
// that have a target. A target that is missing has no address, and its
// members are not eligible. Everything that does not depend on them is shared with t. As after
// Compile, the new tree has neither health states nor overrides: see [Tree.CarryOver].
func (t *Tree) Resolve(targets map[config.Target]Resolved) (*Tree, error) {
	return t.unresolved.resolve(targets)
}

// ResolveAs returns the same pools with the addresses that another tree has for the targets. As after
// Compile, the new tree has neither health states nor overrides.
func (t *Tree) ResolveAs(other *Tree) (*Tree, error) { return t.Resolve(other.resolved) }

// Unresolved counts the members, enabled or not, with a target that has no address.
func (t *Tree) Unresolved() int {
	n := 0
	t.eachMember(func(_ memberRef, m *member) {
		if m.child == none && m.addresses() == 0 {
			n++
		}
	})
	return n
}

// addressesOf returns the addresses of an endpoint: its own, or those of its target.
func (t *Tree) addressesOf(m *config.Member) []netip.Addr {
	if m.Target == "" {
		return m.Addresses
	}
	return t.resolved[m.Target].Addresses
}

// addresses counts the addresses of m of both families; 0 for a target that is not
// resolved, and for a pool.
func (m *member) addresses() int { return int(m.n4) + int(m.n6) }

// StepTarget is the target of a Step's member, as resolved in the tree.
type StepTarget struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`      // empty: it is not resolved
	Since     time.Time    `json:"since,omitzero"` // when the addresses last changed
}

// target returns the target for a member's step; nil if it has none.
func (r *recorder) target(m *config.Member) *StepTarget {
	if m.Target == "" {
		return nil
	}
	found := r.tree.resolved[m.Target]
	return &StepTarget{
		Name:      string(m.Target),
		Addresses: append([]netip.Addr{}, found.Addresses...),
		Since:     found.Since,
	}
}
