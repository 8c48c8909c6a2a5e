package pools

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
)

// LoadTarget is where a load is reported: a source at a member's address, or at its URL.
type LoadTarget struct {
	Source *config.LoadSource
	Addr   netip.Addr // the zero Addr if the source has a URL
}

// Load is the last report of a target.
type Load struct {
	Load     float64   // finite, at least 0
	Capacity float64   // finite, at least 0; 0: not reported
	At       time.Time // of the report; another time means another report
	Fresh    bool      // false: there is no report, or it is stale and not used
}

// loadSource is where the load of a member or region comes from.
type loadSource struct {
	target   uint32  // in Tree.loadTargets; none: not reported, only the capacity is known
	capacity float64 // as configured, overrides the report's; 0: as reported
}

// LoadTargets lists the load targets; SetLoads takes reports in this order.
func (t *Tree) LoadTargets() []LoadTarget { return t.loadTargets }

// SetLoads sets the reports of all load targets, in their order. A report
// that is not fresh counts as none. Decisions see all of them or none; no pool's mode
// changes by them. It reports whether the shedding of a member or region changed, which
// LoadMemory contains.
func (t *Tree) SetLoads(loads []Load) (changed bool) {
	if len(loads) != len(t.loadTargets) {
		panic("pools: as many loads as there are load targets")
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	d := &t.next
	d.begin(t.state.Load())
	d.copyOnWrite()
	d.followShares() // changes since the last reports, for other reasons
	d.loads = slices.Clone(loads)
	return d.applyReports()
}

// applyReports runs the controllers on the reports of the builder, and publishes the result. It reports
// whether the shedding of a member or region changed.
func (d *builder) applyReports() (changed bool) {
	t := d.tree
	if latest := d.latestReport(); !latest.IsZero() {
		t.reportClock = latest
	}
	d.updateFreeCapacity()
	changed = d.updateShedding()
	d.propagate(byVerdict)
	d.followShares()
	t.publishLocked()
	return changed
}

// latestReport returns the time of the latest fresh report; zero: there is none.
func (st *state) latestReport() (at time.Time) {
	for i := range st.loads {
		if r := &st.loads[i]; r.Fresh && r.At.After(at) {
			at = r.At
		}
	}
	return at
}

// loads compiles what follows loads and capacities. All members are compiled before.
func (c *compiler) loads() {
	t := c.tree
	if !t.feeds {
		return
	}
	sources := make(map[string]*config.LoadSource, len(c.cfg.Loads))
	for i := range c.cfg.Loads {
		sources[c.cfg.Loads[i].Name] = &c.cfg.Loads[i]
	}
	numbers := map[LoadTarget]uint32{}
	for i := range c.cfg.Regions {
		if of := c.cfg.Regions[i].Load; of != nil {
			if t.regionLoads == nil {
				t.regionLoads = map[string]loadSource{}
			}
			t.regionLoads[c.cfg.Regions[i].Name] = c.loadSource(numbers, sources[of.Load], of, nil)
		}
	}
	t.eachMember(func(u memberRef, m *member) {
		of := &c.cfg.Pools[u.pool].Members[u.member]
		if of.Load == nil {
			return
		}
		if t.memberLoads == nil {
			t.memberLoads = map[uint32]loadSource{}
		}
		t.memberLoads[t.pools[u.pool].first+u.member] = c.loadSource(numbers, sources[of.Load.Load], of.Load, t.addressesOf(of))
	})
	t.countSharing()
	if len(t.memberLoads)+len(t.regionLoads) > 0 {
		t.ttls = t.clientTTLs()
	}
	for id := range t.pools {
		if t.pools[id].policy == leastLoad {
			t.pools[id].room = uint32(t.roomCount)
			t.roomCount += int(t.pools[id].members)
			t.balancers = append(t.balancers, t.newBalancer(ID(id)))
		}
		c.shedGroups(ID(id))
		c.spreadLost(ID(id))
	}
}

// loadSource numbers the target of a source, at the first of addrs.
func (c *compiler) loadSource(numbers map[LoadTarget]uint32, source *config.LoadSource, of *config.LoadOf, addrs []netip.Addr) loadSource {
	made := loadSource{target: none, capacity: float64(of.Capacity)}
	if source == nil || source.URL == "" && len(addrs) == 0 { // no report, or of a target without an address yet
		return made
	}
	target := LoadTarget{Source: source}
	if source.URL == "" {
		target.Addr = addrs[0]
	}
	number, ok := numbers[target]
	if !ok {
		number = uint32(len(c.tree.loadTargets))
		numbers[target] = number
		c.tree.loadTargets = append(c.tree.loadTargets, target)
	}
	made.target = number
	return made
}

// usage is a load and a capacity.
type usage struct {
	load, capacity float64
	known          bool      // the load is known
	at, oldest     time.Time // of the latest report in it, and of the earliest
}

func (u *usage) add(other usage) {
	if !other.known {
		return
	}
	u.load, u.capacity, u.known = u.load+other.load, u.capacity+other.capacity, true
	if other.at.After(u.at) {
		u.at = other.at
	}
	if u.oldest.IsZero() || other.oldest.Before(u.oldest) {
		u.oldest = other.oldest
	}
}

// usageOf returns the reported load of a source. Without a capacity it is not known.
func (st *state) usageOf(of loadSource) usage {
	found := usage{capacity: of.capacity}
	if of.target == none || len(st.loads) == 0 || !st.loads[of.target].Fresh {
		return found
	}
	report := &st.loads[of.target]
	if found.capacity == 0 {
		found.capacity = report.Capacity
	}
	found.load, found.at, found.oldest, found.known = report.Load, report.At, report.At, found.capacity > 0
	return found
}

// usageOfMember returns the load and capacity of a member:
//
//	the member                        has
//	has a load, or a capacity         its own
//	is a pool of members that have    the sum of those with a known load, weight and no drain
//	is in a region that has           an equal part of the region's, with the pool's other members in it without a load
//	is none of these                  nothing that is known
func (st *state) usageOfMember(u memberRef) usage {
	t := st.tree
	number := t.pools[u.pool].first + u.member
	if own, ok := t.memberLoads[number]; ok {
		return st.usageOf(own)
	}
	var sum usage
	if child := t.members[number].child; child != none {
		p := &t.pools[child]
		for i := range p.members {
			if t.weights[p.first+i] > 0 && st.kind(p.first+i) != Drained {
				sum.add(st.usageOfMember(memberRef{child, i}))
			}
		}
		return sum
	}
	region, ok := t.regionLoads[t.cfg.Pools[u.pool].Members[u.member].Region]
	if !ok {
		return usage{}
	}
	sum = st.usageOf(region)
	sharing := float64(max(1, t.loadSharers[placed{u.pool, t.members[number].group}]))
	sum.load, sum.capacity = sum.load/sharing, sum.capacity/sharing
	return sum
}

// longest returns the largest of what f returns for the targets that a member's load comes from.
func (t *Tree) longest(u memberRef, f func(*LoadTarget) time.Duration) (most time.Duration) {
	number := t.pools[u.pool].first + u.member
	if own, ok := t.memberLoads[number]; ok {
		return t.ofTarget(own, f)
	}
	if child := t.members[number].child; child != none {
		for i := range t.pools[child].members {
			most = max(most, t.longest(memberRef{child, i}, f))
		}
		return most
	}
	if of, ok := t.regionLoads[t.cfg.Pools[u.pool].Members[u.member].Region]; ok {
		return t.ofTarget(of, f)
	}
	return 0
}

// ofTarget returns what f returns for the target of a source; 0: it has none.
func (t *Tree) ofTarget(of loadSource, f func(*LoadTarget) time.Duration) time.Duration {
	if of.target == none {
		return 0
	}
	return f(&t.loadTargets[of.target])
}

func interval(of *LoadTarget) time.Duration { return of.Source.Interval }

// countSharing counts, for each pool and group, the members with weight but without a load:
// they share their region's.
func (t *Tree) countSharing() {
	if len(t.regionLoads) == 0 {
		return
	}
	t.loadSharers = map[placed]int{}
	t.eachMember(func(u memberRef, m *member) {
		number := t.pools[u.pool].first + u.member
		if _, own := t.memberLoads[number]; !own && t.weights[number] > 0 {
			t.loadSharers[placed{u.pool, m.group}]++
		}
	})
}

// placed is a group of a pool.
type placed struct{ pool, group uint32 }

// reports reports whether a member's load may ever be known.
func (t *Tree) reports(u memberRef) bool {
	number := t.pools[u.pool].first + u.member
	if own, ok := t.memberLoads[number]; ok {
		return own.target != none
	}
	if child := t.members[number].child; child != none {
		for i := range t.pools[child].members {
			if t.reports(memberRef{child, i}) {
				return true
			}
		}
		return false
	}
	region, ok := t.regionLoads[t.cfg.Pools[u.pool].Members[u.member].Region]
	return ok && region.target != none
}

// inSteps rounds a part to a multiple of 1/256. A part that differs by less than three
// quarters of a step stays as it was, so that noise moves no client.
func inSteps(part, was float64) float64 {
	if math.Abs(part-was)*full <= 0.75 && part > 0 && part < 1 {
		return was
	}
	return math.Round(part*full) / full
}

// StepLoad is the load of a member.
type StepLoad struct {
	Load     float64   `json:"load"`
	Capacity float64   `json:"capacity"`
	At       time.Time `json:"at,omitzero"` // of the report
	Fresh    bool      `json:"fresh"`       // false: there is no report, or only stale ones; load is not known
	Keeps    float64   `json:"keeps"`       // 0 to 1: the part of its clients, below 1 while it sheds or is above its bound
}

// stepLoad returns the load of a member; nil: it is never reported.
func (st *state) stepLoad(u memberRef) *StepLoad {
	if len(st.tree.loadTargets) == 0 || !st.tree.reports(u) {
		return nil
	}
	found := st.usageOfMember(u)
	keeps := st.loadFraction(st.tree.pools[u.pool].first + u.member)
	return &StepLoad{
		Load: found.load, Capacity: found.capacity, At: found.at, Fresh: found.known,
		Keeps: float64(keeps) / full,
	}
}

// loadText describes a member's load.
func (st *state) loadText(u memberRef) string {
	switch found := st.stepLoad(u); {
	case found == nil:
		return ""
	case !found.Fresh:
		return "; its load is not known: no report, or a stale one"
	default:
		return fmt.Sprintf("; load %.4g of %.4g", found.Load, found.Capacity)
	}
}
