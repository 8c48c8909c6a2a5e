package pools

import (
	"math"

	"meridian/config"
)

// shedUnit is what sheds as one: under proximity and latency the members of a
// pool that share a region, else a single member.
type shedUnit struct {
	pool    ID
	region  string // under proximity and latency
	member  string // else
	group   uint32
	members []uint32
	shedMemory
}

// shedMemory is what a unit knows of itself, from report to report and over a
// reload. Guarded by Tree.writing.
type shedMemory struct {
	kept   float64 // the part of its clients that it keeps while it sheds
	within float64 // the part that it keeps within its bound
}

// shedUnits lists the units of a pool that sheds, those that may ever report.
func (c *compiler) shedUnits(id ID) {
	t, from := c.tree, &c.cfg.Pools[id]
	if from.Shed == (config.Shed{}) && from.Bound == 0 {
		return
	}
	units := map[uint32]int{} // by group
	for i := range from.Members {
		u := use{uint32(id), uint32(i)}
		_, ofRegion := t.regionLoads[from.Members[i].Region]
		if !t.reports(u) && !(ofRegion && from.Policy.RanksRegions()) {
			continue
		}
		group := t.members[t.pools[id].first+uint32(i)].group
		unit := shedUnit{pool: id, member: from.Members[i].Name, group: group, shedMemory: shedMemory{kept: 1, within: 1}}
		if from.Policy.RanksRegions() {
			if _, ok := units[group]; ok {
				continue
			}
			units[group] = len(t.shedding)
			unit.member, unit.region = "", from.Members[i].Region
			for m := range t.group(&t.pools[id], group).all() {
				unit.members = append(unit.members, uint32(m))
			}
		} else {
			unit.members = []uint32{uint32(i)}
		}
		t.shedding = append(t.shedding, unit)
	}
}

// usageOfUnit is that of its region, where the unit is one that names a load,
// else the sum of its members', of those that count.
func (st *state) usageOfUnit(unit *shedUnit, counts func(m uint32) bool) usage {
	if of, ok := st.tree.regionLoads[unit.region]; ok && unit.region != "" {
		return st.usageOf(of)
	}
	var sum usage
	p := &st.tree.pools[unit.pool]
	for _, m := range unit.members {
		if st.tree.weights[p.first+m] > 0 && counts(m) {
			sum.add(st.usageOfMember(use{uint32(unit.pool), m}))
		}
	}
	return sum
}

// The bounds of how a kept part moves from one report to the next.
const (
	leastKept = 1. / 256 // less than that is taken for none, and asked no further
	mostBack  = 1. / 8   // of all its clients that a unit takes back
)

// keeps is the part of its clients that a unit keeps next, by the part that it
// keeps now and by what of its capacity is used. Parts come to rest where
//
//	used             keeps
//	up to low        all
//	between          (high - used) / (high - low)
//	from high on     none
//
// To go there at once would overshoot: used follows what is kept, and a region
// that sends everybody away is empty at the next report, and full at the one after
// it. So the demand is reckoned that would be there were nothing shed, used / kept, and
// the part sought at which demand · part lies on that line, which is high / (high -
// low + demand). Demand that moves at once is met in one step, demand that lags
// in several. Clients are taken back an eighth of all at a time.
func keeps(kept, used float64, shed config.Shed) float64 {
	low, high := float64(shed.Low)/100, float64(shed.High)/100
	demand := used / max(kept, leastKept)
	next := min(1, high/(high-low+demand), kept+mostBack)
	if next < leastKept {
		return 0
	}
	return next
}

// settleShedding has each unit with a new report move on, and those with none
// keep all.
func (d *draft) settleShedding(before []Load) {
	t := d.tree
	var shed, bounded []share // what changes
	var fair fairness
	old := *d.state
	old.loads = before
	for i := range t.shedding {
		unit := &t.shedding[i]
		undrained := func(m uint32) bool { return d.kind(t.pools[unit.pool].first+m) != Drained }
		now, was := d.usageOfUnit(unit, undrained), old.usageOfUnit(unit, undrained)
		switch {
		case !now.known:
			unit.kept, unit.within = 1, 1
		case !was.known || !now.at.Equal(was.at):
			d.fairIn(unit.pool, &fair)
			d.moveOn(unit, now, &fair)
		}
		shed = d.show(shed, d.shedding, unit, unit.kept)
		bounded = d.show(bounded, d.bounded, unit, unit.within)
	}
	if len(shed) > 0 {
		d.state.shedding = merged(d.state.shedding, shed)
	}
	if len(bounded) > 0 {
		d.state.bounded = merged(d.state.bounded, bounded)
	}
}

// moveOn has a unit go by a new report.
func (d *draft) moveOn(unit *shedUnit, now usage, fair *fairness) {
	p := &d.tree.cfg.Pools[unit.pool]
	if p.Shed != (config.Shed{}) {
		unit.kept = keeps(unit.kept, now.load/now.capacity, p.Shed)
	}
	if p.Bound > 0 {
		d.bind(unit, now.load, fair)
	}
}

// show adds to changes of shares what a unit keeps now.
func (d *draft) show(changes, shares []share, unit *shedUnit, kept float64) []share {
	first := d.tree.pools[unit.pool].first
	shown := float64(partOf(shares, first+unit.members[0])) / whole
	part := uint16(math.Round(inSteps(kept, shown) * whole))
	for _, m := range unit.members {
		if uint64(part) != partOf(shares, first+m) {
			changes = append(changes, share{first + m, part})
			d.stale = append(d.stale, first+m)
		}
	}
	return changes
}

// unitName is a shedUnit by names.
type unitName struct{ pool, region, member string }

func (t *Tree) nameOf(unit *shedUnit) unitName {
	return unitName{t.cfg.Pools[unit.pool].Name, unit.region, unit.member}
}

// memoriesByName is what each unit knows, for a tree to come.
func (t *Tree) memoriesByName() map[unitName]shedMemory {
	known := map[unitName]shedMemory{}
	for i := range t.shedding {
		known[t.nameOf(&t.shedding[i])] = t.shedding[i].shedMemory
	}
	return known
}

// inheritLoads takes over reports and what the units know by them.
func (t *Tree) inheritLoads(before *Tree, loads []Load, memories map[unitName]shedMemory) {
	if len(t.loadTargets) == 0 || len(loads) == 0 {
		return
	}
	type name struct {
		source string
		at     string
	}
	nameOf := func(target LoadTarget) name { return name{target.Source.Name, target.Addr.String()} }
	known := map[name]Load{}
	for i, target := range before.loadTargets {
		known[nameOf(target)] = loads[i]
	}
	d := &t.next
	d.begin(t.state.Load())
	d.own()
	d.loads = make([]Load, len(t.loadTargets))
	for i, target := range t.loadTargets {
		d.loads[i] = known[nameOf(target)]
	}
	for i := range t.shedding {
		if memory, ok := memories[t.nameOf(&t.shedding[i])]; ok {
			t.shedding[i].shedMemory = memory
		}
	}
	d.settleRooms()
	d.settleShedding(d.loads)
	d.tellParents(asIs)
	t.publishLocked()
}
