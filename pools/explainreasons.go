package pools

import (
	"fmt"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// memberState returns the state of a member for its step.
func (r *recorder) memberState(v *frame, i int) string { return r.state.verdictText(v.id, i, r.family) }

// poolVerdict returns "live", or how many members are missing.
func (st *state) poolVerdict(id ID, f Family) string {
	if st.isLive(id, f, byVerdict) {
		return "live"
	}
	p := &st.tree.cfg.Pools[id]
	wanted := fmt.Sprint(st.need(id))
	if p.MinUp.Percent {
		wanted = fmt.Sprintf("%d%%", p.MinUp.N)
	}
	return fmt.Sprintf("not live: %d of %d up, min_up %s", st.countEligible(id, f, byVerdict), st.candidates(id), wanted)
}

// standing returns why a member may or may not be drawn, before any
// draw:
//
//	enabled  weight  override     verdict    failing open  reason
//	no       -       -            -          -             disabled
//	yes      0       -            -          -             weight 0
//	yes      > 0     drained      -          -             drained, and the override's reason
//	yes      > 0     forced down  -          -             forced down, the same
//	yes      > 0     assumed down -          no            assumed to be down
//	yes      > 0     forced up    -          -             not drawn, the same
//	yes      > 0     none         any        no            its region is down, and why
//	yes      > 0     -            unresolved -             unresolved: there is no address to answer
//	yes      > 0     none         up         -             not drawn
//	yes      > 0     none         uncertain  -             not drawn or down, and what it counts as
//	yes      > 0     none         other down no            under dual_stack: together, the other family's addresses
//	yes      > 0     none         down       no            down, and which addresses
//	yes      > 0     none         down       yes           not drawn; counted as up
func (r *recorder) standing(v *frame, i int, step Step) string {
	m := &r.tree.cfg.Pools[v.id].Members[i]
	kind, region := r.state.kind(v.first+uint32(i)), r.state.regionDown(memberRef{uint32(v.id), uint32(i)})
	switch {
	case !m.Enabled:
		return "disabled"
	case m.Weight == 0:
		return "weight 0"
	case step.Eligible:
		return "not drawn" + r.remarks(v, i)
	case kind == Drained || kind == ForcedDown:
		return kind.String() + r.said(v, i)
	case kind == AssumedDown && v.basis != failOpen:
		return "assumed to be down" + r.said(v, i)
	case region != nil && v.basis != failOpen:
		return region.whyDown()
	case step.Target != nil && len(step.Target.Addresses) == 0:
		return fmt.Sprintf("unresolved: target %q has no address yet", m.Target)
	}
	return r.notLive(v, i)
}

// notLive returns why a member's health states or its own members exclude it.
func (r *recorder) notLive(v *frame, i int) string {
	m, compiled := &r.tree.cfg.Pools[v.id].Members[i], &r.tree.members[v.first+uint32(i)]
	if m.Pool != "" && v.basis == failOpen {
		return fmt.Sprintf("pool %q has no member that is enabled, has weight, and is neither drained nor forced down", m.Pool)
	}
	if text := r.recordTogether(v.pool, compiled); text != "" {
		return text
	}
	if m.Pool != "" {
		return fmt.Sprintf("pool %q is %s", m.Pool, r.state.poolVerdict(ID(compiled.child), r.family))
	}
	return r.whyDown(v, i)
}

// remarks returns additional facts about an eligible member.
func (r *recorder) remarks(v *frame, i int) string {
	text := ""
	switch verdict := r.memberState(v, i); verdict {
	case "up", "unknown", "live":
	case ForcedUp.String():
		text = "; " + verdict + r.said(v, i)
	case health.Uncertain.String():
		if v.basis != failOpen {
			text = "; uncertain, counts as up"
		}
	case EjectionDeferred:
		text = fmt.Sprintf("; down, and treated as up: ejection deferred by max_ejection %s", r.tree.cfg.Pools[v.id].MaxEjection)
	}
	if v.policy == leastLoad || v.fraction(i) != full {
		text += r.state.loadText(memberRef{uint32(v.id), uint32(i)})
	}
	if v.fraction(i) != full {
		text += "; " + r.startsSlowly(v, i)
	}
	switch {
	case v.basis != failOpen || r.state.isEligible(v.pool, i, r.family):
	case v.opened:
		text += "; counted as up: the match fails open"
	default:
		text += "; counted as up, since its pool fails open"
	}
	return text
}

// said returns why a member is overridden and until when.
func (r *recorder) said(v *frame, i int) string {
	h := r.state.memberOverride(v.first + uint32(i))
	o := &r.state.overrides[h.order]
	text := ""
	switch {
	case o.Address.IsValid():
		text = fmt.Sprintf(" with address %s", o.Address)
	case o.Pool == "":
		text = fmt.Sprintf(" with region %q", o.Region)
	case o.Member == "":
		text = fmt.Sprintf(" with pool %q", o.Pool)
	}
	if !o.Until.IsZero() {
		text += " until " + health.FormatTime(o.Until)
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

// whyDown returns which addresses of an endpoint are down.
func (r *recorder) whyDown(v *frame, i int) string {
	m := &r.tree.members[v.first+uint32(i)]
	refs, family := r.tree.addrs(m, r.family), r.family
	text := "down: "
	if r.state.endpointVerdict(m, r.family) == health.Uncertain {
		text = "uncertain, counts as down: "
	}
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
func (r *recorder) regionsBefore(s *Scratch, v *frame, k int) string {
	table := r.tree.geoTables[v.table]
	text := ""
	for i, g := range table.Ranking(table.Lookup(s.client))[:k] {
		if i > 0 {
			text += ", "
		}
		m := r.tree.group(v.pool, uint32(g)).First()
		text += fmt.Sprintf("%q", r.tree.cfg.Pools[v.id].Members[m].Region)
	}
	if k == 1 {
		return "; " + text + " is " + v.closer() + " and has none eligible" + r.orSlow(v)
	}
	return "; " + text + " are " + v.closer() + " and have none eligible" + r.orSlow(v)
}

// orSlow ends a sentence about regions that were passed over.
func (r *recorder) orSlow(v *frame) string {
	if len(v.slow) > 0 {
		return " for this client"
	}
	return ""
}

// placeOf returns the index of a member's region in the client's ranking; without a
// region the index past the last.
func (r *recorder) placeOf(s *Scratch, v *frame, m int) int {
	table := r.tree.geoTables[v.table]
	ranking := table.Ranking(table.Lookup(s.client))
	group := r.tree.members[v.first+uint32(m)].group
	for k, region := range ranking {
		if uint32(region) == group {
			return k
		}
	}
	return len(ranking)
}

// distance returns how far a region is from the client, with and without its bias.
func (r *recorder) distance(s *Scratch, region string) string {
	km := r.kilometres(s, region)
	bias := r.region(region).Bias
	if bias == 0 {
		return fmt.Sprintf("%.0f km", km)
	}
	return fmt.Sprintf("%.0f km, which its bias of %d makes %.0f km", km, bias, geo.Biased(km, bias))
}

// kilometres returns how far a region is from the client.
func (r *recorder) kilometres(s *Scratch, region string) float64 {
	if r.place == nil {
		place := r.tree.locator.Locate(s.client)
		r.place = &place
	}
	client := config.Location{Lat: r.place.Lat, Lon: r.place.Lon}
	return geo.Distance(client, r.region(region).Location)
}

// region returns a region of the configuration by name.
func (r *recorder) region(name string) config.Region {
	for i := range r.tree.cfg.Regions {
		if r.tree.cfg.Regions[i].Name == name {
			return r.tree.cfg.Regions[i]
		}
	}
	panic("pools: a region that Compile did not see: " + name)
}
