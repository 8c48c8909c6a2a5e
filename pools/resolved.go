package pools

import (
	"net/netip"
	"time"

	"meridian/config"
)

// Resolved is what a member's target led to when it was last resolved.
type Resolved struct {
	Addresses []netip.Addr // unicast, each once, IPv4 in its own form
	Since     time.Time    // when these became the target's addresses
}

// Resolve compiles the same pools anew, with these addresses for the members
// that have a target; a target that is not among them has no address, and its
// members are not eligible. What ranks regions is shared with t. Like a tree from
// Compile the new one knows neither verdicts nor overrides: see [Tree.Inherit].
func (t *Tree) Resolve(targets map[config.Name]Resolved) (*Tree, error) {
	return compileWith(t.cfg, t.locator, t, targets, t.roundTrips)
}

// Unresolved counts the members, enabled or not, whose target has no address.
func (t *Tree) Unresolved() int {
	n := 0
	t.eachMember(func(_ memberRef, m *member) {
		if m.child == none && m.addresses() == 0 {
			n++
		}
	})
	return n
}

// addressesOf is the addresses of an endpoint: its own, or those of its target.
func (c *compiler) addressesOf(m *config.Member) []netip.Addr {
	if m.Target == "" {
		return m.Addresses
	}
	return c.tree.resolved[m.Target].Addresses
}

// addresses counts those of m of both families; 0 for a target that is not
// resolved, and for a pool.
func (m *member) addresses() int { return int(m.n4) + int(m.n6) }

// StepTarget is the target of a Step's member, as the tree knows it.
type StepTarget struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`      // none: it is not resolved
	Since     time.Time    `json:"since,omitzero"` // when they became its addresses
}

// target is what a member's step says of its target; nil where it has none.
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
