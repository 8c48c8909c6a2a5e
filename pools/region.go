package pools

import (
	"fmt"

	"meridian/config"
)

// regionCheck is a region that is probed as a whole.
//
//	its addresses   the region  its members
//	one is up       up          by their own health states
//	all are down    down        down, whatever their own health states, which are kept
//
// Unknown counts as up here, too. A member is in its configured region, whether it
// is an endpoint or a pool.
type regionCheck struct {
	config  *config.Region
	refs    []addrRef // its addresses, IPv4 and IPv6 as written
	members []memberRef
}

// checkRegions compiles the regions that have a check.
func (c *compiler) checkRegions() {
	t := c.tree
	for i := range c.cfg.Regions {
		r := &c.cfg.Regions[i]
		if r.Check == "" {
			continue
		}
		check := c.checks[r.Check]
		if check == nil {
			c.fail(c.cfg.ErrorAt(r.Pos, "regions."+r.Name+".check", fmt.Sprintf("unknown check %q", r.Check), "a check of this file"))
			continue
		}
		if len(r.Addresses) == 0 {
			c.fail(c.cfg.ErrorAt(r.Pos, "regions."+r.Name+".addresses", "no addresses to check", "at least one"))
			continue
		}
		if t.checkOf == nil {
			t.checkOf, t.regionsByTarget = map[string]uint32{}, map[uint32][]uint32{}
		}
		number := uint32(len(t.checked))
		t.checkOf[r.Name] = number
		checked := regionCheck{config: r}
		for _, a := range r.Addresses {
			ref := c.ref(a.Unmap().WithZone(""), check)
			checked.refs = append(checked.refs, ref)
			t.regionsByTarget[ref.target] = append(t.regionsByTarget[ref.target], number)
		}
		t.checked = append(t.checked, checked)
	}
}

// placeInRegions lists the members of the checked regions.
func (t *Tree) placeInRegions() {
	if len(t.checked) == 0 {
		return
	}
	t.eachMember(func(u memberRef, _ *member) {
		if number, ok := t.checkOf[t.cfg.Pools[u.pool].Members[u.member].Region]; ok {
			t.checked[number].members = append(t.checked[number].members, u)
		}
	})
}

// regionDown returns the check of the down region that a member is in; nil: none.
func (st *state) regionDown(u memberRef) *regionCheck {
	t := st.tree
	if len(t.checked) == 0 {
		return nil
	}
	number, ok := t.checkOf[t.cfg.Pools[u.pool].Members[u.member].Region]
	if !ok || !st.isRegionDown(number) {
		return nil
	}
	return &t.checked[number]
}

func (st *state) isRegionDown(number uint32) bool {
	return st.word(st.tree.regionDowns+number/64)>>(number%64)&1 != 0
}

// recomputeRegion computes whether a region is down, and recomputes its members on a change.
func (d *builder) recomputeRegion(number uint32) {
	r := &d.tree.checked[number]
	down := true
	for _, ref := range r.refs {
		down = down && d.isDown(ref.target)
	}
	if !d.setWord(d.tree.regionDowns+number/64, 1<<(number%64), down) {
		return
	}
	free := d.cause.free
	d.cause.free = free || !d.tree.ejections.knownUp(number)
	for _, u := range r.members {
		d.recomputeMember(u)
	}
	d.cause.free = free
}

// whyDown explains why a region is down.
func (r *regionCheck) whyDown() string {
	if len(r.refs) == 1 {
		return fmt.Sprintf("region %q is down: %s is, by its check %q", r.config.Name, r.config.Addresses[0], r.config.Check)
	}
	return fmt.Sprintf("region %q is down: all its %d addresses are, by its check %q", r.config.Name, len(r.refs), r.config.Check)
}
