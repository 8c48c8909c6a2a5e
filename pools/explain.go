package pools

import (
	"fmt"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// Step is a member as the decision looked at it.
type Step struct {
	Pool       string   `json:"pool"`
	Policy     string   `json:"policy"`
	Member     string   `json:"member"`
	Region     string   `json:"region,omitempty"`
	Verdict    string   `json:"verdict"` // of endpoints: unknown up down; of pools: live, or not live and why; of both: disabled
	Eligible   bool     `json:"eligible"`
	Chosen     bool     `json:"chosen"`
	Reason     string   `json:"reason"`
	DistanceKm *float64 `json:"distance_km,omitempty"` // under proximity: from the client to the region, without bias
	Weight     *int     `json:"weight,omitempty"`
}

// Explain is Decide, recorded: a step for each member of each pool that it
// walked, in the order walked. It takes turns in s as Decide does.
func (t *Tree) Explain(q Question, s *Scratch) (Decision, []Step) {
	s.record = &recorder{tree: t, family: q.Family}
	defer func() { s.record = nil }()
	d := t.Decide(q, s)
	return d, s.record.steps
}

// recorder writes down what Decide does. Its methods do nothing on nil, which
// is what Decide runs with when nobody wants to know.
type recorder struct {
	tree   *Tree
	family Family
	steps  []Step
	place  *geo.Location // of the client, once somebody asked
}

// enter makes the steps of all members of a pool, as they stand before the draw.
func (r *recorder) enter(s *Scratch, v *visit) {
	if r != nil { // small enough to be inlined; likewise below
		r.addSteps(s, v)
	}
}

func (r *recorder) addSteps(s *Scratch, v *visit) {
	v.step = len(r.steps)
	p := &r.tree.cfg.Pools[v.id]
	live := v.isLive(v.eligible.count())
	for i := range p.Members {
		m, weight := &p.Members[i], p.Members[i].Weight
		step := Step{
			Pool:     p.Name,
			Policy:   string(p.Policy),
			Member:   m.Name,
			Region:   m.Region,
			Verdict:  r.verdict(v, i),
			Eligible: v.eligible.has(i),
			Weight:   &weight,
		}
		step.Reason = r.standing(v, i, step)
		if step.Eligible && !live {
			step.Reason = "its pool is " + r.poolVerdict(v.id)
		}
		if p.Policy == config.Proximity && m.Region != "" {
			km := r.kilometres(s, m.Region)
			step.DistanceKm = &km
		}
		r.steps = append(r.steps, step)
	}
}

// forget drops the steps of a pool that is to be walked again.
func (r *recorder) forget(id ID) {
	if r != nil {
		// The pool of the question comes first, and, not being live, has walked into no other.
		r.steps = r.steps[len(r.tree.cfg.Pools[id].Members):]
	}
}

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
	return r.tree.verdict(a.target)
}

// poolVerdict is "live", or how many members are short.
func (r *recorder) poolVerdict(id ID) string {
	if r.tree.isLive(id, r.family, asIs) {
		return "live"
	}
	p := &r.tree.cfg.Pools[id]
	wanted := fmt.Sprint(r.tree.pools[id].need)
	if p.MinUp.Percent {
		wanted = fmt.Sprintf("%d%%", p.MinUp.N)
	}
	return fmt.Sprintf("not live: %d of %d up, min_up %s", r.tree.countEligible(id, r.family, asIs), enabled(p), wanted)
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

// narrowed tells those whom proximity left out why. The region at place k of
// the client's ranking was chosen; -1: the members without a region.
func (r *recorder) narrowed(s *Scratch, v *visit, k int) {
	if r != nil {
		r.tellFarther(s, v, k)
	}
}

func (r *recorder) tellFarther(s *Scratch, v *visit, k int) {
	members := r.tree.cfg.Pools[v.id].Members
	for i := range members {
		step := &r.steps[v.step+i]
		switch {
		case !step.Eligible || v.eligible.has(i):
		case members[i].Region == "":
			step.Reason = "without a region: last, and a region has an eligible member"
		default:
			step.Reason = fmt.Sprintf("region %q is farther: %s", members[i].Region, r.distance(s, members[i].Region))
		}
	}
	v.nearer = ""
	if k > 0 {
		v.nearer = r.regionsBefore(s, v, k)
	}
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
		return "; " + text + " is nearer and has none"
	}
	return "; " + text + " are nearer and have none"
}

// choice gives the policy's reason for a choice from a set.
func (r *recorder) choice(s *Scratch, v *visit, from set, m int) {
	if r != nil {
		r.tellChoice(s, v, from, m)
	}
}

func (r *recorder) tellChoice(s *Scratch, v *visit, from set, m int) {
	r.setReason(v, m, s.why(v, from, m))
}

// setReason gives the reason for a choice.
func (r *recorder) setReason(v *visit, m int, reason string) {
	r.steps[v.step+m].Reason = reason + r.countedAsUp(v, m)
}

// follows gives the reason for a member that comes after the one drawn before.
func (r *recorder) follows(v *visit, m int) {
	if r != nil {
		r.setReason(v, m, "next after the one before; the answer takes several")
	}
}

// chosen marks a member that the answer comes from.
func (r *recorder) chosen(v *visit, m int) {
	if r != nil {
		r.steps[v.step+m].Chosen = true
	}
}

// unchosen takes chosen back: the pool is no longer live.
func (r *recorder) unchosen(v *visit, m int) {
	if r != nil {
		r.steps[v.step+m].Chosen = false
		r.steps[v.step+m].Reason = "went down while the question was asked"
	}
}

// lacks tells of a drawn member that cannot give the family, or gave it already
// in place of another, whether one of its region does instead.
func (r *recorder) lacks(v *visit, m int, other bool) {
	if r != nil {
		r.tellLack(v, m, other)
	}
}

func (r *recorder) tellLack(v *visit, m int, other bool) {
	step := &r.steps[v.step+m]
	if step.Chosen { // a stand-in before: its step tells that
		return
	}
	where := "without a region"
	if step.Region != "" {
		where = fmt.Sprintf("in region %q", step.Region)
	}
	if other {
		step.Reason = fmt.Sprintf("drawn, but has no %s address; another %s has one", r.family, where)
	} else {
		step.Reason = fmt.Sprintf("drawn, but has no %s address, and no other %s has one to add: it adds nothing", r.family, where)
	}
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
