package pools

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// servedHalf is in which time the memory of what a region served halves. A region
// that dies reports little, or nothing, for some seconds before its checks tell;
// at noon the night's load should be forgotten.
const servedHalf = 2 * time.Minute

// forgotten is after which time what a region served counts as not known.
const forgotten = 6 * servedHalf

// serve takes a load into the memory of what a unit served: a maximum that decays.
func (m *shedMemory) serve(load float64, at time.Time) {
	m.served, m.at = max(load, m.servedBy(at)), at
}

// servedBy is what is left of the memory at a time, by whole seconds: reports that come
// together are of one time.
func (m *shedMemory) servedBy(at time.Time) float64 {
	switch passed := at.Sub(m.at).Truncate(time.Second); {
	case passed <= 0:
		return m.served
	case passed > forgotten:
		return 0
	default:
		return m.served * math.Exp2(-passed.Seconds()/servedHalf.Seconds())
	}
}

// latestReport is when somebody reported last: the clock of what is remembered, whatever
// that of this machine says.
func (st *state) latestReport() (at time.Time) {
	for i := range st.loads {
		if r := &st.loads[i]; r.Fresh && r.At.After(at) {
			at = r.At
		}
	}
	return at
}

// unitsIn is those of a pool.
func (t *Tree) unitsIn(id ID) []shedUnit {
	byPool := func(u shedUnit, id ID) int { return cmp.Compare(u.pool, id) }
	from, _ := slices.BinarySearchFunc(t.shedding, id, byPool)
	to, _ := slices.BinarySearchFunc(t.shedding, id+1, byPool)
	return t.shedding[from:to]
}

// serves reports whether a group has an eligible member of a family.
func (st *state) serves(id ID, group uint32, f Family) bool {
	p := &st.tree.pools[id]
	for i, w := range st.tree.group(p, group) {
		if w&st.word(p.eligible(f, asIs)+uint32(i)) != 0 {
			return true
		}
	}
	return false
}

// isLost reports whether a group has no eligible member of some family.
func (st *state) isLost(id ID, group uint32) bool {
	return !st.serves(id, group, IPv4) || !st.serves(id, group, IPv6)
}

// eligibleOf is the members of a group that are eligible for some family.
func (st *state) eligibleOf(id ID, group uint32) set {
	p := &st.tree.pools[id]
	g := slices.Clone(st.tree.group(p, group))
	for i := range g {
		at := uint32(i)
		g[i] &= st.word(p.eligible(IPv4, asIs)+at) | st.word(p.eligible(IPv6, asIs)+at)
	}
	return g
}

// partOfGroup is the part of its clients that a group took, as admitsTo has it.
func (st *state) partOfGroup(id ID, group uint32) uint16 {
	p := &st.tree.pools[id]
	slow := st.slowIn(p)
	var parts, weights uint64
	for m := range st.eligibleOf(id, group).all() {
		part, weight := partOf(slow, p.first+uint32(m)), uint64(st.tree.weights[p.first+uint32(m)])
		if part == whole {
			return whole
		}
		parts, weights = parts+part*weight, weights+weight
	}
	return uint16(parts / max(1, weights))
}

// isBack reports whether a group has eligible members of both families, one of
// which does not start slowly.
func (d *draft) isBack(id ID, group uint32) bool {
	first := d.tree.pools[id].first
	starts := func(m int) bool {
		return d.kind(first+uint32(m)) != ForcedUp && d.startOf(use{uint32(id), uint32(m)}) < whole
	}
	for m := range d.eligibleOf(id, group).all() {
		if !starts(m) {
			return !d.isLost(id, group)
		}
	}
	return false
}

// settleSpills makes and ends the spills of the pools that were noted:
//
//	the region           before   served  has a spill  then
//	is lost              was not  known   no           one is made
//	is lost              was not  known   yes          that one stays: it was lost while it started slowly, or a reload was between
//	is lost              was not  not     -            none: as if it did not shed
//	is lost              was lost -       -            as it was
//	is back              -        -       yes          it ends
//	is starting slowly   -        -       yes          it stays, for those whom the region does not take yet
func (d *draft) settleSpills() {
	for h := range d.dirty {
		for _, id := range d.dirty[h] {
			if len(d.tree.shedding) > 0 && d.tree.pools[id].ranks() {
				d.settleSpillsOf(id)
			}
		}
	}
}

func (d *draft) settleSpillsOf(id ID) {
	units := d.tree.unitsIn(id)
	for i := range units {
		unit := &units[i]
		at, found := d.findSpill(id, unit.group)
		switch {
		case found && d.isBack(id, unit.group):
			d.own()
			d.spills = slices.Delete(slices.Clone(d.spills), at, at+1)
		case !found && d.isLost(id, unit.group) && !d.from.isLost(id, unit.group):
			made := d.spill(unit, unit.servedBy(d.latestReport()))
			if made == nil {
				continue
			}
			d.own()
			d.spills = slices.Insert(slices.Clone(d.spills), at, made)
		}
	}
}

// findSpill is where in the list the spill of a region is, or would be.
func (st *state) findSpill(id ID, group uint32) (at int, found bool) {
	return slices.BinarySearchFunc(st.spills, spill{pool: id, group: group}, func(sp *spill, of spill) int {
		return cmp.Or(cmp.Compare(sp.pool, of.pool), cmp.Compare(sp.group, of.group))
	})
}

// noteSpills notes the pools that have spills: what a reload brought of a region that
// is not lost any more ends with the first reports.
func (d *draft) noteSpills() {
	for _, sp := range d.spills {
		d.note(sp.pool)
	}
}

// spill makes that of a region that is lost, by the loads of now:
//
//	another region                 its arc                                        its weight for the rest
//	has no eligible member         none                                           the least
//	has no known load or capacity  the whole circle: who is unknown keeps all     the mean of the others
//	has room below low             that room, over what the lost one served       the room up to high that its arc leaves
//	has none                       none                                           the room up to high
//
// Where nobody has any room up to high, weights are capacities; where nothing is
// known, they are equal. What other spills may still bring to a region is no room. It
// is nil where it is not known what the region served, or the pool has no other region.
func (d *draft) spill(unit *shedUnit, served float64) *spill {
	if served == 0 || !d.tree.hasOther(unit) {
		return nil
	}
	p := &d.tree.pools[unit.pool]
	sp := &spill{
		pool: unit.pool, group: unit.group, load: served,
		part: d.from.partOfGroup(unit.pool, unit.group),
		key:  d.tree.spillKey(unit.pool, unit.group, unit.group), outlets: make([]outlet, p.ngroups),
	}
	rest := newRest(len(sp.outlets))
	owed, shed, end := d.owed(unit.pool), d.tree.cfg.Pools[unit.pool].Shed, uint16(0)
	for g := range p.ngroups {
		o := &sp.outlets[g]
		o.key, o.from = d.tree.spillKey(unit.pool, unit.group, g), end
		if g == unit.group || d.tree.regionOf(unit.pool, g) == "" || !d.eligibleOf(unit.pool, g).any() {
			continue
		}
		now := d.usageOfGroup(unit.pool, g)
		o.served = true
		if o.load = now.load; !now.known {
			o.part = whole
			rest.unknown(g)
			continue
		}
		load := now.load + max(0, owed[g].load-max(0, now.load-owed[g].since))
		room := func(mark int) float64 { return max(0, now.capacity*float64(mark)/100-load) }
		o.part = uint16(whole * min(1, room(shed.Low)/sp.load))
		rest.known(g, max(0, room(shed.High)-sp.load*float64(o.part)/whole), now.capacity)
		end = (end + o.part) % whole
	}
	for g, weight := range rest.weights() {
		sp.outlets[g].weight = weight
	}
	return sp
}

// hasOther reports whether a unit's pool has another region.
func (t *Tree) hasOther(unit *shedUnit) bool {
	for g := range t.pools[unit.pool].ngroups {
		if g != unit.group && t.regionOf(unit.pool, g) != "" {
			return true
		}
	}
	return false
}

// usageOfGroup is the usage of what is eligible of a group.
func (st *state) usageOfGroup(id ID, group uint32) usage {
	units := st.tree.unitsIn(id)
	i := slices.IndexFunc(units, func(u shedUnit) bool { return u.group == group })
	if i < 0 {
		return usage{}
	}
	eligible := st.eligibleOf(id, group)
	return st.usageOfUnit(&units[i], func(m uint32) bool { return eligible.has(int(m)) })
}

// debt is the load that spills may bring to a region, and what that had when they were made.
type debt struct{ load, since float64 }

// owed is what the spills of a pool may bring to each of its groups.
func (d *draft) owed(id ID) []debt {
	owed := slices.Repeat([]debt{{since: math.Inf(1)}}, int(d.tree.pools[id].ngroups))
	for _, sp := range d.spillsIn(id) {
		sum, uncovered := 0., sp.uncovered(func(g int) bool { return d.eligibleOf(id, uint32(g)).any() })
		live := make([]bool, len(owed))
		for g := range owed {
			if live[g] = g != int(sp.group) && d.eligibleOf(id, uint32(g)).any(); live[g] {
				sum += float64(sp.outlets[g].weight)
			}
		}
		for g := range owed {
			if o := &sp.outlets[g]; live[g] {
				owed[g].load += sp.load * (float64(o.part)/whole + uncovered*float64(o.weight)/sum)
				owed[g].since = min(owed[g].since, o.load)
			}
		}
	}
	return owed
}

// uncovered is the part of the circle that is on no arc of those who serve.
func (sp *spill) uncovered(serves func(group int) bool) float64 {
	var covered [whole]bool
	for g := range sp.outlets {
		if o := &sp.outlets[g]; o.part > 0 && serves(g) {
			for i := range o.part {
				covered[(o.from+i)%whole] = true
			}
		}
	}
	n := 0
	for _, c := range covered {
		if !c {
			n++
		}
	}
	return float64(n) / whole
}

// rest works out by what weights the rest of a spill is distributed.
type rest struct {
	rooms, capacities []float64 // by group; NaN: not known; -1: it has no part
	room, capacity    mean      // of those that are known
}

func newRest(groups int) *rest {
	return &rest{rooms: slices.Repeat([]float64{-1}, groups), capacities: slices.Repeat([]float64{-1}, groups)}
}

func (r *rest) known(group uint32, room, capacity float64) {
	r.rooms[group], r.capacities[group] = room, capacity
	r.room.add(room)
	r.capacity.add(capacity)
}

func (r *rest) unknown(group uint32) { r.rooms[group], r.capacities[group] = math.NaN(), math.NaN() }

// restUnits is the weight of whoever has the most.
const restUnits = 1 << 20

// weights are by group: never 0, since whoever is left alone must do.
func (r *rest) weights() []uint64 {
	of, mean := r.rooms, r.room.or(1)
	if mean == 0 {
		of, mean = r.capacities, r.capacity.or(1)
	}
	most := 0.
	for _, room := range of {
		if math.IsNaN(room) {
			room = mean
		}
		most = max(most, room)
	}
	weights := make([]uint64, len(of))
	for g, room := range of {
		if math.IsNaN(room) {
			room = mean
		}
		weights[g] = max(1, uint64(restUnits*max(0, room)/max(most, math.SmallestNonzeroFloat64)))
	}
	return weights
}

// regionOf is the name of a group's region; empty: none.
func (t *Tree) regionOf(id ID, group uint32) string {
	return t.cfg.Pools[id].Members[t.group(&t.pools[id], group).first()].Region
}

// spillKey is what the hashes of a spill are made from: the names of its pool,
// of the lost region, and of the one whose scores they are, itself for the points.
func (t *Tree) spillKey(id ID, lost, group uint32) uint64 {
	return keyOf(t.cfg.Pools[id].Name+"\x00"+t.regionOf(id, lost), t.regionOf(id, group))
}
