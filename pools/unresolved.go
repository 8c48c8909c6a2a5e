package pools

import (
	"fmt"
	"math"
	"slices"

	"meridian/config"
)

// unresolved is a compiled configuration before the targets of members are resolved. Resolve
// continues from it: the members with a target get their addresses, and everything else is
// shared, or copied as a whole.
//
//	shared                      pools, groups, rankings, weights, parents: see shape
//	copied, then appended to    addresses, targets, their numbers
//	copied, then overwritten    members with a target, their pools, the pages of the state with their bits
type unresolved struct {
	shape
	addressing
	numbers   numbering
	checks    map[string]*config.Check
	members   []memberRef // with a target
	pages     []*page     // of the first state
	ejections []ejection  // of members in that state
}

// newUnresolved keeps what Resolve needs of a compiled tree.
func (c *compiler) newUnresolved() *unresolved {
	t := c.tree
	b := &unresolved{shape: t.shape, addressing: t.addressing, members: c.targeted, pages: t.state.Load().pages}
	if len(b.members) > 0 { // otherwise no address is numbered again
		b.numbers, b.checks = c.numbering, c.checks
	}
	for _, e := range t.ejections.members {
		b.ejections = append(b.ejections, *e)
	}
	return b
}

// resolve builds a tree with these addresses of targets.
func (b *unresolved) resolve(targets map[config.Target]Resolved) (*Tree, error) {
	t := &Tree{shape: b.shape, addressing: b.addressing, unresolved: b}
	t.resolved = targets
	c := &compiler{tree: t, cfg: b.cfg, checks: b.checks, numbering: b.numbers.clone()}
	t.pools = slices.Clone(b.pools)
	if len(b.members) > 0 {
		c.address(b.members)
	}
	c.time()
	c.loads()
	if c.errs != nil {
		return nil, c.errs
	}
	t.resumeState(b)
	return t, nil
}

// address sets the addresses of members with a target.
func (c *compiler) address(members []memberRef) {
	t := c.tree
	t.members, t.soleAddresses = slices.Clone(t.members), slices.Clone(t.soleAddresses)
	t.refs, t.targets = slices.Clip(t.refs), slices.Clip(t.targets)
	t.refs = slices.Grow(t.refs, c.countAddresses(members))
	for _, u := range members {
		from, m := &c.cfg.Pools[u.pool], &t.members[t.pools[u.pool].first+u.member]
		addresses := t.addressesOf(&from.Members[u.member])
		if len(addresses) > math.MaxUint16 {
			target := from.Members[u.member].Target
			c.errorf(from, from.Members[u.member].Pos, fmt.Sprintf(".members[%d].target", u.member), fmt.Sprintf("target %q has %d addresses", target, len(addresses)), "at most 65535")
			continue
		}
		m.first = uint32(len(t.refs))
		c.endpoint(from, int(u.member), addresses, m)
		t.addFamiliesAbove(u.pool, [2]bool{m.n4 > 0, m.n6 > 0})
	}
	t.v4, t.v6 = c.v4.all, c.v6.all
	for _, u := range members {
		c.updateSoleAddresses(u)
	}
	t.membersByTarget = t.membersByTarget.extended(len(t.targets), func(yield func(uint32, memberRef)) {
		for _, u := range members {
			t.eachTarget(u, &t.members[t.pools[u.pool].first+u.member], yield)
		}
	})
}

// countAddresses counts the addresses of members with a target.
func (c *compiler) countAddresses(members []memberRef) (n int) {
	for _, u := range members {
		n += len(c.tree.addressesOf(&c.cfg.Pools[u.pool].Members[u.member]))
	}
	return n
}

// updateSoleAddresses updates the address of a member for fastDecide, or disables that for its pool.
func (c *compiler) updateSoleAddresses(u memberRef) {
	p := &c.tree.pools[u.pool]
	m := &c.tree.members[p.first+u.member]
	switch {
	case p.singles == none:
	case m.n4 > 1 || m.n6 > 1:
		p.singles = none
	default:
		c.tree.soleAddresses[p.singles+u.member] = c.soleAddresses(m)
	}
}

// addFamiliesAbove adds the families of a member's addresses to its pool and the pools above it.
func (t *Tree) addFamiliesAbove(id uint32, has [2]bool) {
	p := &t.pools[id]
	before := p.has
	p.addFamilies(has)
	if p.has == before {
		return
	}
	for _, parent := range t.parents.of(id) {
		t.addFamiliesAbove(parent.pool, has)
	}
}

// resumeState is initState for a tree that differs from b in the members with a target.
func (t *Tree) resumeState(b *unresolved) {
	words := t.layOut()
	pages := slices.Clone(b.pages)
	for len(pages) <= words/pageWords { // what follows the sets of the pools is zero
		pages = append(pages, new(page))
	}
	t.next.begin(&state{tree: t, pages: pages})
	for _, e := range b.ejections {
		t.ejections.members[e.member] = &e
	}
	for _, u := range b.members {
		t.next.initMember(u)
	}
	t.finishInit()
}
