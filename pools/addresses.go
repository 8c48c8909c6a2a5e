package pools

import (
	"fmt"
	"net/netip"

	"meridian/config"
	"meridian/health"
)

// endpoint compiles the addresses of the i-th member.
func (c *compiler) endpoint(from *config.Pool, i int, to *member) {
	m := &from.Members[i]
	check := c.checks[m.Check]
	if check == nil && m.Check != "" {
		c.errorf(from, m.Pos, fmt.Sprintf(".members[%d].check", i), fmt.Sprintf("unknown check %q", m.Check), "a check of this file")
	}
	addresses := c.addressesOf(m)
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
