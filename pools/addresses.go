package pools

import (
	"fmt"
	"net/netip"
	"slices"

	"meridian/config"
	"meridian/health"
)

// numbering numbers addresses and targets.
type numbering struct {
	v4     interner[[4]byte]
	v6     interner[[16]byte]
	ofV4   []uint32 // by address: its first target, or none
	ofV6   []uint32
	nextOf []uint32 // by target: the next one of the same address, or none
}

// clone returns a copy that numbers more, without changing n.
func (n *numbering) clone() numbering {
	return numbering{
		n.v4.clone(), n.v6.clone(),
		slices.Clone(n.ofV4), slices.Clone(n.ofV6), slices.Clone(n.nextOf),
	}
}

// endpoint compiles the addresses of the i-th member.
func (c *compiler) endpoint(from *config.Pool, i int, addresses []netip.Addr, to *member) {
	check := c.memberCheck(from, i)
	for _, a := range addresses {
		if a.Unmap().Is4() {
			c.tree.refs = append(c.tree.refs, c.ref(a.Unmap(), check))
			to.n4++
		}
	}
	for _, a := range addresses {
		if !a.Unmap().Is4() {
			c.tree.refs = append(c.tree.refs, c.ref(a.WithZone(""), check))
			to.n6++
		}
	}
}

// memberCheck returns the check of the i-th member; nil if it has none.
func (c *compiler) memberCheck(from *config.Pool, i int) *config.Check {
	m := &from.Members[i]
	check := c.checks[m.Check]
	if check == nil && m.Check != "" {
		c.errorf(from, m.Pos, fmt.Sprintf(".members[%d].check", i), fmt.Sprintf("unknown check %q", m.Check), "a check of this file")
	}
	return check
}

// ref numbers an address and its target, if there is a check.
func (c *compiler) ref(a netip.Addr, check *config.Check) addrRef {
	number, first := c.number(a)
	if check == nil {
		return addrRef{number, none}
	}
	t := c.tree
	for target := *first; target != none; target = c.nextOf[target] {
		if t.targets[target].Check == check {
			return addrRef{number, target}
		}
	}
	target := uint32(len(t.targets))
	t.targets = append(t.targets, health.Target{Check: check, Addr: a})
	c.nextOf = append(c.nextOf, *first)
	*first = target
	return addrRef{number, target}
}

// number numbers an address within its family, and returns where the number of its first target is.
func (c *compiler) number(a netip.Addr) (number uint32, first *uint32) {
	if a.Is4() {
		return numberIn(&c.v4, &c.ofV4, a.As4())
	}
	return numberIn(&c.v6, &c.ofV6, a.As16())
}

// numberIn numbers an address within one family.
func numberIn[A comparable](known *interner[A], targets *[]uint32, a A) (number uint32, first *uint32) {
	number, fresh := known.id(a)
	if fresh {
		*targets = append(*targets, none)
	}
	return number, &(*targets)[number]
}
