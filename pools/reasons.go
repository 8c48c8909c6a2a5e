package pools

import (
	"fmt"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// verdict is what a member's step says of its verdict.
func (r *recorder) verdict(v *visit, i int) string {
	m := &r.tree.members[v.first+uint32(i)]
	if !r.tree.cfg.Pools[v.id].Members[i].Enabled {
		return "disabled"
	}
	if m.child != none {
		return r.poolVerdict(ID(m.child))
	}
	found := health.Down
	for _, ref := range r.tree.asked(m, r.family) {
		switch r.refVerdict(ref) {
		case health.Up:
			return health.Up.String()
		case health.Unknown:
			found = health.Unknown
		case health.Down:
		}
	}
	return found.String()
}

// refVerdict is the verdict of one address; one without a check is up.
func (r *recorder) refVerdict(a ref) health.Verdict {
	if a.target == none {
		return health.Up
	}
	return r.state.verdict(a.target)
}

// poolVerdict is "live", or how many members are short.
func (r *recorder) poolVerdict(id ID) string {
	if r.state.isLive(id, r.family, asIs) {
		return "live"
	}
	p := &r.tree.cfg.Pools[id]
	wanted := fmt.Sprint(r.tree.pools[id].need)
	if p.MinUp.Percent {
		wanted = fmt.Sprintf("%d%%", p.MinUp.N)
	}
	return fmt.Sprintf("not live: %d of %d up, min_up %s", r.state.countEligible(id, r.family, asIs), enabled(p), wanted)
}

// standing is the reason for which a member may be drawn or not, before any
// draw:
//
//	enabled  weight  verdict  failing open  reason
//	no       -       -        -             disabled
//	yes      0       -        -             weight 0
//	yes      > 0     up       -             not drawn
//	yes      > 0     down     no            down, and which addresses
//	yes      > 0     down     yes           not drawn; counted as up
func (r *recorder) standing(v *visit, i int, step Step) string {
	m := &r.tree.cfg.Pools[v.id].Members[i]
	switch {
	case !m.Enabled:
		return "disabled"
	case m.Weight == 0:
		return "weight 0"
	case step.Eligible:
		return "not drawn" + r.countedAsUp(v, i)
	case m.Pool != "" && v.plane == open:
		return fmt.Sprintf("pool %q has no enabled member with weight", m.Pool)
	case m.Pool != "":
		return fmt.Sprintf("pool %q is %s", m.Pool, step.Verdict)
	}
	return r.whyDown(v, i)
}

// countedAsUp marks what only failing open makes eligible.
func (r *recorder) countedAsUp(v *visit, i int) string {
	if v.plane == open {
		switch verdict := r.verdict(v, i); verdict {
		case "up", "unknown", "live":
		default:
			return "; counted as up, since its pool fails open"
		}
	}
	return ""
}

// whyDown tells which addresses of an endpoint are down.
func (r *recorder) whyDown(v *visit, i int) string {
	m := &r.tree.members[v.first+uint32(i)]
	refs, family := r.tree.addrs(m, r.family), r.family
	text := "down: "
	if len(refs) == 0 {
		refs, family = r.tree.addrs(m, 1-r.family), 1-r.family
		text += fmt.Sprintf("it has no %s address and ", r.family)
	}
	if len(refs) == 1 {
		return text + fmt.Sprintf("its %s address is down", family)
	}
	return text + fmt.Sprintf("all its %d %s addresses are down", len(refs), family)
}

// regionsBefore names the regions that are nearer than the k-th of the client's
// ranking, all without an eligible member.
func (r *recorder) regionsBefore(s *Scratch, v *visit, k int) string {
	table := r.tree.tables[v.table]
	text := ""
	for i, g := range table.Ranking(table.Lookup(s.client))[:k] {
		if i > 0 {
			text += ", "
		}
		m := r.tree.group(v.pool, uint32(g)).first()
		text += fmt.Sprintf("%q", r.tree.cfg.Pools[v.id].Members[m].Region)
	}
	if k == 1 {
		return "; " + text + " is nearer and has none eligible"
	}
	return "; " + text + " are nearer and have none eligible"
}

// distance tells how far a region is from the client, and what its bias makes of that.
func (r *recorder) distance(s *Scratch, region string) string {
	km := r.kilometres(s, region)
	bias := r.region(region).Bias
	if bias == 0 {
		return fmt.Sprintf("%.0f km", km)
	}
	return fmt.Sprintf("%.0f km, which its bias of %d makes %.0f km", km, bias, geo.Biased(km, bias))
}

// kilometres is how far a region is from the client.
func (r *recorder) kilometres(s *Scratch, region string) float64 {
	if r.place == nil {
		place := r.tree.where.Locate(s.client)
		r.place = &place
	}
	client := config.Location{Lat: r.place.Lat, Lon: r.place.Lon}
	return geo.Distance(client, r.region(region).Location)
}

// region is a region of the configuration by name.
func (r *recorder) region(name string) config.Region {
	for i := range r.tree.cfg.Regions {
		if r.tree.cfg.Regions[i].Name == name {
			return r.tree.cfg.Regions[i]
		}
	}
	panic("pools: a region that Compile did not see: " + name)
}
