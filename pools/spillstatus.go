package pools

import "slices"

// Spill is how the clients of a lost region are spread.
type Spill struct {
	Pool   string      `json:"-"`
	Region string      `json:"region"`
	Load   float64     `json:"load"` // that it served
	Of     float64     `json:"of"`   // 0 to 1: the part of its clients that it had not shed, and that are spread
	Parts  []SpillPart `json:"parts"`
	Rest   float64     `json:"rest"` // 0 to 1: the part that no region has room for below its low mark
}

// SpillPart is what a region that served takes of a spill.
type SpillPart struct {
	Region string  `json:"region"`
	Part   float64 `json:"part"` // 0 to 1: of the clients, those it takes when its turn comes
	Rest   float64 `json:"rest"` // 0 to 1: of the rest
}

// Spills are those of the moment, in the order of pools and regions; mostly none.
func (t *Tree) Spills() []Spill {
	var all []Spill
	for _, sp := range t.state.Load().spills {
		all = append(all, t.spillStatus(sp))
	}
	return all
}

// spillStatus is a spill by names.
func (t *Tree) spillStatus(sp *spill) Spill {
	s := Spill{
		Pool: t.cfg.Pools[sp.pool].Name, Region: t.regionOf(sp.pool, sp.group), Load: sp.load, Of: float64(sp.part) / whole,
		Rest: sp.uncovered(func(int) bool { return true }), Parts: []SpillPart{},
	}
	sum := float64(sp.sum())
	for g := range sp.outlets {
		if o := &sp.outlets[g]; o.served {
			s.Parts = append(s.Parts, SpillPart{t.regionOf(sp.pool, uint32(g)), float64(o.part) / whole, float64(o.weight) / sum})
		}
	}
	return s
}

// sum is the weight of those who served when the spill was made.
func (sp *spill) sum() uint64 {
	sum := uint64(0)
	for g := range sp.outlets {
		if sp.outlets[g].served {
			sum += sp.outlets[g].weight
		}
	}
	return sum
}

// namedSpill is a spill for a tree to come.
type namedSpill struct {
	spill
	outlets map[string]outlet // by region
}

func (t *Tree) spillsByName() map[unitName]namedSpill {
	named := map[unitName]namedSpill{}
	for _, sp := range t.state.Load().spills {
		outlets := map[string]outlet{}
		for g := range sp.outlets {
			outlets[t.regionOf(sp.pool, uint32(g))] = sp.outlets[g]
		}
		named[unitName{pool: t.cfg.Pools[sp.pool].Name, region: t.regionOf(sp.pool, sp.group)}] = namedSpill{*sp, outlets}
	}
	return named
}

// inheritSpills takes over the spills of the regions that are units here, too. A
// region that they do not know takes who comes to it, as one whose load is not known.
// The regions need not be lost by what this tree knows yet: a spill without its loss
// does nothing, and the first reports end it.
func (t *Tree) inheritSpills(named map[unitName]namedSpill) {
	if len(named) == 0 {
		return
	}
	d := &t.next
	d.begin(t.state.Load())
	d.own()
	for i := range t.shedding {
		unit := &t.shedding[i]
		from, ok := named[t.nameOf(unit)]
		if !ok {
			continue
		}
		sp := from.spill
		sp.pool, sp.group, sp.outlets = unit.pool, unit.group, make([]outlet, t.pools[unit.pool].ngroups)
		for g := range sp.outlets {
			region := t.regionOf(unit.pool, uint32(g))
			if sp.outlets[g], ok = from.outlets[region]; !ok {
				sp.outlets[g] = outlet{part: whole, key: t.spillKey(unit.pool, unit.group, uint32(g)), weight: restUnits, served: true}
			}
		}
		d.spills = slices.Clone(d.spills)
		if at, found := d.findSpill(unit.pool, unit.group); found { // made since, of an override that was taken over
			d.spills[at] = &sp
		} else {
			d.spills = slices.Insert(d.spills, at, &sp)
		}
	}
	t.publishLocked()
}
