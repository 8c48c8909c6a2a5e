package pools

import (
	"math"
	"time"

	"meridian/config"
)

// shedGroup is a unit that sheds as one: for proximity and latency the members of a
// pool that share a region, otherwise a single member.
type shedGroup struct {
	pool    ID
	region  string // for proximity and latency
	member  string // otherwise
	group   uint32
	members []uint32
	ttl     time.Duration // how long clients hold an answer of the pool
	shedState
}

// shedState is the state of a unit that is kept between reports, over a reload and over a
// restart. Guarded by Tree.writing.
type shedState struct {
	kept      float64 // the part of its clients that it keeps while it sheds
	within    float64 // the part that it keeps within its bound
	lag       lagged  // the part of its clients that was answered with it, for any reason
	demand    float64 // the load if all its clients were answered with it
	rounds    reportRounds
	heldUntil time.Time // until then restored state is kept without a report, see expireRestored; zero: no restored state
}

// newShedState returns the state before the first report.
func newShedState(interval time.Duration) shedState {
	return shedState{kept: 1, within: 1, lag: lagged{share: 1, traffic: 1}, rounds: reportRounds{interval: interval}}
}

// shedGroups lists the units of a pool that sheds, as far as they may ever report.
func (c *compiler) shedGroups(id ID) {
	t, from := c.tree, &c.cfg.Pools[id]
	if from.Shed == (config.Shed{}) && from.Bound == 0 {
		return
	}
	units := map[uint32]int{} // by group
	for i := range from.Members {
		u := memberRef{uint32(id), uint32(i)}
		_, ofRegion := t.regionLoads[from.Members[i].Region]
		if !t.reports(u) && !(ofRegion && from.Policy.RanksRegions()) {
			continue
		}
		group := t.members[t.pools[id].first+uint32(i)].group
		unit := shedGroup{pool: id, member: from.Members[i].Name, group: group, ttl: t.ttls[id], shedState: newShedState(0)}
		if from.Policy.RanksRegions() {
			if _, ok := units[group]; ok {
				continue
			}
			units[group] = len(t.shedding)
			unit.member, unit.region = "", from.Members[i].Region
			for m := range t.group(&t.pools[id], group).All() {
				unit.members = append(unit.members, uint32(m))
			}
		} else {
			unit.members = []uint32{uint32(i)}
		}
		unit.rounds.interval = t.longestOf(&unit, interval)
		t.shedding = append(t.shedding, unit)
	}
}

// usageOfShedGroup returns the usage of the unit's region if that has a load,
// otherwise the sum over the members that count.
func (st *state) usageOfShedGroup(unit *shedGroup, counts func(m uint32) bool) (sum usage) {
	st.eachUsageOf(unit, counts, func(u usage) { sum.add(u) })
	return sum
}

// eachUsageOf calls f with the usages that usageOfShedGroup sums up.
func (st *state) eachUsageOf(unit *shedGroup, counts func(m uint32) bool, f func(usage)) {
	if of, ok := st.tree.regionLoads[unit.region]; ok && unit.region != "" {
		f(st.usageOf(of))
		return
	}
	p := &st.tree.pools[unit.pool]
	for _, m := range unit.members {
		if st.tree.weights[p.first+m] > 0 && counts(m) {
			f(st.usageOfMember(memberRef{uint32(unit.pool), m}))
		}
	}
}

// longestOf returns the largest of what f returns for the targets that a unit's load comes from.
func (t *Tree) longestOf(unit *shedGroup, f func(*LoadTarget) time.Duration) (most time.Duration) {
	if of, ok := t.regionLoads[unit.region]; ok && unit.region != "" {
		return t.ofTarget(of, f)
	}
	for _, m := range unit.members {
		most = max(most, t.longest(memberRef{uint32(unit.pool), m}, f))
	}
	return most
}

// Limits of the change of a kept part from one round of reports to the next.
const (
	leastKept = 1. / 256 // a smaller part counts as none; also the smallest divisor
	mostBack  = 1. / 4   // the part of all its clients that a unit takes back at most
)

// nextKept returns the part of its clients that a unit keeps next, from the part that it
// keeps now and the demand: the used part of its capacity if it shed no client.
// Parts settle at
//
//	used             keeps
//	up to low        all
//	between          (high - used) / (high - low)
//	from high on     none
//
// Used is demand * part, so that the target part is high / (high - low + demand). It is reached
// in one step, not in many small ones. No gain needs tuning, provided that the demand
// is divided by the part that the load came from, see lagged, and not by
// the part that was set last.
func nextKept(kept, demand float64, shed config.Shed) float64 {
	low, high := float64(shed.Low)/100, float64(shed.High)/100
	next := min(1, high/(high-low+demand), kept+mostBack)
	if next < leastKept {
		return 0
	}
	return next
}

// updateShedding steps each unit that has a complete round of reports. A unit without a known
// load keeps all. It reports whether any part changed.
func (d *builder) updateShedding() (changed bool) {
	t := d.tree
	var fair fairShare
	for i := range t.shedding {
		unit := &t.shedding[i]
		undrained := func(m uint32) bool { return d.kind(t.pools[unit.pool].first+m) != Drained }
		switch now := d.usageOfShedGroup(unit, undrained); {
		case !now.known && !unit.heldUntil.IsZero():
		case !now.known:
			unit.kept, unit.within = 1, 1
		case unit.rounds.complete(&now):
			d.fairShareIn(unit.pool, &fair)
			d.step(unit, now, undrained, &fair)
		}
	}
	return d.applyKept()
}

// applyKept applies the parts that the units keep. It reports whether any changed.
func (d *builder) applyKept() (changed bool) {
	var shed, bounded []fraction // the changes
	for i := range d.tree.shedding {
		unit := &d.tree.shedding[i]
		shed = d.appendChange(shed, d.shedding, unit, unit.kept)
		bounded = d.appendChange(bounded, d.bounded, unit, unit.within)
	}
	if len(shed) > 0 {
		d.state.shedding = merged(d.state.shedding, shed)
	}
	if len(bounded) > 0 {
		d.state.bounded = merged(d.state.bounded, bounded)
	}
	return len(shed)+len(bounded) > 0
}

// step changes the kept part of a unit after a complete round of reports. While no client is
// answered with it, because it is down or drained, and while few of them are back afterwards, its
// load gives no information.
func (d *builder) step(unit *shedGroup, now usage, counts func(m uint32) bool, fair *fairShare) {
	far := unit.rounds.step(now.at, unit.ttl)
	unit.heldUntil = time.Time{}
	if !d.answers(unit) || unit.lag.isReturning(now.at, unit.ttl) {
		return
	}
	unit.demand += far * (d.demandOn(unit, counts) - unit.demand)
	p := &d.tree.cfg.Pools[unit.pool]
	if p.Shed != (config.Shed{}) {
		unit.kept = inSteps(nextKept(unit.kept, unit.demand/now.capacity, p.Shed), unit.kept)
	}
	if p.Bound > 0 {
		d.applyBound(unit, fair)
	}
}

// demandOn returns the load of a unit if all its clients were answered with it:
// each reported load divided by the part that its traffic came from.
func (d *builder) demandOn(unit *shedGroup, counts func(m uint32) bool) (demand float64) {
	d.eachUsageOf(unit, counts, func(u usage) {
		if u.known {
			demand += u.load / max(unit.lag.at(u.at, unit.ttl), leastKept)
		}
	})
	return demand
}

// answers reports whether some member of a unit is eligible.
func (st *state) answers(unit *shedGroup) bool {
	p := &st.tree.pools[unit.pool]
	for _, m := range unit.members {
		if st.isEligible(p, int(m), IPv4) || st.isEligible(p, int(m), IPv6) {
			return true
		}
	}
	return false
}

// followShares records the part of the clients that is answered with each unit, and with each member
// of a least-load pool, from now on.
func (d *builder) followShares() {
	for i := range d.tree.balancers {
		d.tree.balancers[i].followShares(d.state)
	}
	for i := range d.tree.shedding {
		unit := &d.tree.shedding[i]
		unit.lag.set(d.shareOfUnit(unit), d.tree.reportClock, unit.ttl)
	}
}

// shareOfUnit returns the part of its clients that is answered with a unit: the mean part of its
// eligible members, by weight.
func (st *state) shareOfUnit(unit *shedGroup) float64 {
	p := &st.tree.pools[unit.pool]
	var parts, weights float64
	for _, m := range unit.members {
		if st.isEligible(p, int(m), IPv4) || st.isEligible(p, int(m), IPv6) {
			weight := float64(st.tree.weights[p.first+m])
			parts, weights = parts+weight*float64(fractionOf(st.slow, p.first+m))/full, weights+weight
		}
	}
	if weights == 0 {
		return 0
	}
	return parts / weights
}

// appendChange appends the kept part of a unit to changes, if it changed.
func (d *builder) appendChange(changes, shares []fraction, unit *shedGroup, kept float64) []fraction {
	first := d.tree.pools[unit.pool].first
	part := uint16(math.Round(kept * full))
	for _, m := range unit.members {
		if uint64(part) != fractionOf(shares, first+m) {
			changes = append(changes, fraction{of: first + m, part: part})
			d.stale = append(d.stale, first+m)
		}
	}
	return changes
}
