package pools

import (
	"fmt"
	"slices"

	"meridian/health"
)

// isUpFor reports whether an endpoint is live for a family by its health checks alone, under
// the dual_stack of its pool:
//
//	dual_stack   it has an address of the family  live while an address is up of
//	independent  yes                              the family
//	independent  no                               the other family
//	together     -                                each family that it has an address of
//
// An address without a check is up.
func (st *state) isUpFor(p *pool, m *member, f Family) bool {
	if !p.together {
		return slices.ContainsFunc(st.tree.verdictAddrs(m, f), st.isUp)
	}
	return m.addresses() > 0 && st.downFamily(m) == noFamily
}

// noFamily is not a family.
const noFamily = Family(2)

// downFamily returns a family of an endpoint that has only down addresses, or noFamily.
func (st *state) downFamily(m *member) Family {
	for _, f := range families {
		if refs := st.tree.addrs(m, f); len(refs) > 0 && !slices.ContainsFunc(refs, st.isUp) {
			return f
		}
	}
	return noFamily
}

// families lists all families.
var families = [...]Family{IPv4, IPv6}

// offersTo returns what a nested pool offers to the pool around it. With dual_stack:
// together it offers nothing while it is not live, or has no live member with an address, for
// one of the families that it could give if all were up.
func (st *state) offersTo(around *pool, id ID, f Family, pl basis) offer {
	o := st.poolOffers(id, f, pl)
	if around.together && pl != failOpen {
		o.live = o.live && st.missingFamily(id, pl) == noFamily
	}
	return o
}

// missingFamily returns a family that a pool would give if all were up but does not give now,
// or noFamily.
func (st *state) missingFamily(id ID, pl basis) Family {
	for _, f := range families {
		if st.gives(id, f, failOpen) && !(st.isLive(id, f, pl) && st.gives(id, f, pl)) {
			return f
		}
	}
	return noFamily
}

// nestedVerdict returns "live", or why a nested pool is not live in the pool around it.
func (st *state) nestedVerdict(around *pool, id ID, f Family) string {
	if missing := st.missingFamily(id, byVerdict); around.together && missing != noFamily {
		if st.isLive(id, missing, byVerdict) {
			return fmt.Sprintf("not live: it gives no %s", missing)
		}
		f = missing
	}
	return st.poolVerdict(id, f)
}

// togetherVerdict returns the health state of a member with dual_stack: together: the
// worst of its families'.
func (st *state) togetherVerdict(m *member) health.Verdict {
	if st.downFamily(m) != noFamily {
		return health.Down
	}
	worst := health.Up
	for _, f := range families {
		if len(st.tree.addrs(m, f)) == 0 {
			continue
		}
		switch v := st.endpointVerdict(m, f); {
		case v == health.Uncertain, v == health.Unknown && worst == health.Up:
			worst = v
		}
	}
	return worst
}

// recordTogether explains why a member is not eligible for a family because of its other
// family; empty if that is not the reason.
func (r *recorder) recordTogether(p *pool, m *member) string {
	if !p.together {
		return ""
	}
	const rule = "dual_stack is together: "
	if m.child != none {
		f := r.state.missingFamily(ID(m.child), byVerdict)
		if f == noFamily {
			return ""
		}
		return fmt.Sprintf("%spool %q gives no %s", rule, r.tree.cfg.Pools[m.child].Name, f)
	}
	f := r.state.downFamily(m)
	if f == noFamily || f == r.family {
		return ""
	}
	if refs := r.tree.addrs(m, f); len(refs) > 1 {
		return fmt.Sprintf("down, since %sall its %d %s addresses are down", rule, len(refs), f)
	}
	return fmt.Sprintf("down, since %sits %s address is down", rule, f)
}
