package pools

import (
	"cmp"
	"fmt"
)

// spilled tells how a spill led to a region: at place k of the client's ranking, or,
// one past the last, by the scores for the rest.
func (r *recorder) spilled(s *Scratch, v *visit, w *spreading, k int) {
	if r != nil {
		r.tellSpilled(s, v, w, k)
	}
}

func (r *recorder) tellSpilled(s *Scratch, v *visit, w *spreading, k int) {
	r.tellFarther(s, v, k)
	v.nearer, v.lost = "", r.whySpilled(s, v, w)
	home := r.tree.regionOf(v.id, w.group)
	members := r.tree.cfg.Pools[v.id].Members
	for i := range members {
		step, o := &r.steps[v.step+i], &w.outlets[r.tree.members[v.first+uint32(i)].group]
		if !step.Eligible || v.eligible.has(i) || r.placeOf(s, v, i) >= k || members[i].Region == home {
			continue
		}
		if w.had && !o.takes(w.point) {
			step.Reason = fmt.Sprintf("region %q takes %s of the clients of %q, which is lost; this network is not among them", members[i].Region, percent(o.part), home)
		}
	}
}

// whySpilled is the reason for a region, as far as the spill is it.
func (r *recorder) whySpilled(s *Scratch, v *visit, w *spreading) string {
	if !v.eligible.any() {
		return ""
	}
	chosen := r.tree.members[v.first+uint32(v.eligible.first())].group
	home, region := r.tree.regionOf(v.id, w.group), r.tree.regionOf(v.id, chosen)
	lost := fmt.Sprintf("%q is lost", home)
	if r.state.serves(v.id, w.group, s.family) {
		lost = fmt.Sprintf("%q starts slowly", home)
	}
	o := &w.outlets[chosen]
	switch {
	case chosen == w.group:
		return ""
	case w.inTurn && w.had:
		return fmt.Sprintf("%s; %q takes %s of its clients, this network among them", lost, region, percent(o.part))
	case w.inTurn:
		return fmt.Sprintf("%s, and had shed this network; the %s region that takes it is %q", lost, v.closest(), region)
	}
	return fmt.Sprintf("%s, and no region takes this network in its turn; %q has %.0f %% of such by the room that was left", lost, region, 100*float64(o.weight)/float64(max(1, w.sum())))
}

// closest says in what the first region of a ranking is before all others.
func (v *visit) closest() string {
	if v.policy == latency {
		return "quickest"
	}
	return "nearest"
}

// whichRegion begins the reason for a region.
func (v *visit) whichRegion() string {
	return cmp.Or(v.lost, v.closest()+" region with an eligible member")
}

// percent is a part in 256ths.
func percent(part uint16) string { return fmt.Sprintf("%.0f %%", 100*float64(part)/whole) }
