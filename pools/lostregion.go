package pools

import (
	"cmp"
	"fmt"

	"meridian/config"
	"meridian/geo"
	"meridian/pools/internal/bitset"
	"meridian/pools/internal/rendezvous"
)

// A region of a proximity or latency pool is lost while it has no eligible member. In
// a pool that sheds, its clients are spread over the remaining regions in proportion
// to their capacities, by weighted rendezvous of each client's network with their names.
// The answer thus depends only on the configuration and on which regions remain, not
// on the history of a node: all nodes agree, including one that has just started.
// A second loss moves the clients that the second region had, and a region that returns
// takes back its own.
//
//	the client's first region                   the client goes to
//	takes it                                    that one
//	sheds it                                    the next of its ranking, see narrowSlowly
//	is lost, or is in slow start without it     the best by score of the other regions that take it
//	the same, and no other region takes it      the best by score of the other regions
//	the same, and no other region is left       as if nothing were spread

// regionScore is the input of a region's score.
type regionScore struct {
	key      uint64 // of its name
	capacity uint64
}

// spreadLost compiles how the clients of lost regions of a pool are spread. All
// members and loads are compiled before.
func (c *compiler) spreadLost(id ID) {
	t := c.tree
	p := &t.pools[id]
	if c.cfg.Pools[id].Shed == (config.Shed{}) || p.table == none {
		return
	}
	if t.log2 == nil {
		t.log2 = rendezvous.NewTable()
	}
	p.scores = uint32(len(t.scores))
	capacities := t.regionCapacities(id)
	for g := range p.ngroups {
		t.scores = append(t.scores, regionScore{keyOf("lost region", t.regionOf(id, g)), capacities[g]})
	}
}

// regionCapacities returns the capacity of each region of a pool: as configured, at the
// region or at its members, or if a region has none, the weights of all regions' members.
func (t *Tree) regionCapacities(id ID) []uint64 {
	p := &t.pools[id]
	capacities, weights := make([]uint64, p.ngroups), make([]uint64, p.ngroups)
	known := true
	for g := range p.ngroups {
		region := t.regionOf(id, g)
		capacities[g] = uint64(t.regionLoads[region].capacity)
		for m := range t.group(p, g).All() {
			weights[g] += uint64(t.weights[p.first+uint32(m)])
			if t.regionLoads[region].capacity == 0 {
				capacities[g] += t.capacityOf(memberRef{uint32(id), uint32(m)})
			}
		}
		known = known && (capacities[g] > 0 || region == "" || weights[g] == 0)
	}
	if !known {
		capacities = weights
	}
	for g := range capacities {
		if capacities[g] = max(1, capacities[g]); t.regionOf(id, uint32(g)) == "" {
			capacities[g] = 0 // members without a region take nothing
		}
	}
	return capacities
}

// capacityOf returns the configured capacity of a member with weight, or of the members of a
// nested pool; 0: there is none.
func (t *Tree) capacityOf(u memberRef) (sum uint64) {
	number := t.pools[u.pool].first + u.member
	if t.weights[number] == 0 {
		return 0
	}
	if own, ok := t.memberLoads[number]; ok {
		return uint64(own.capacity)
	}
	if child := t.members[number].child; child != none {
		for i := range t.pools[child].members {
			sum += t.capacityOf(memberRef{child, i})
		}
	}
	return sum
}

// regionOf returns the name of a group's region; empty: none.
func (t *Tree) regionOf(id ID, group uint32) string {
	return t.cfg.Pools[id].Members[t.group(&t.pools[id], group).First()].Region
}

// narrowLost leaves the members of the region that takes a client of a lost first region.
// It returns false if no clients are spread.
func (s *Scratch) narrowLost(v *frame, table *geo.Table, leaf geo.Leaf) bool {
	if v.scores == none || v.basis != byVerdict {
		return false
	}
	home := uint32(table.Ranking(leaf)[0])
	if g := s.tree.group(v.pool, home); v.eligible.Meets(g) && !s.slowStartExcludes(v, home) {
		return false
	}
	region := s.bestRegion(v, home)
	if region == none {
		return false
	}
	s.scope = max(s.scope, table.Scope(leaf, 0))
	v.narrowTo(s.tree.group(v.pool, region))
	s.record.spread(s, v, home, region)
	return true
}

// slowStartExcludes reports whether a group with an eligible member is in slow start and for that
// reason does not take this client.
func (s *Scratch) slowStartExcludes(v *frame, group uint32) bool {
	if len(v.slow) == 0 || s.regionAdmits(v, group) {
		return false
	}
	kept := s.keptOfRegion(v, s.tree.group(v.pool, group))
	return kept == full || s.admits(s.tree.groupKey(v.pool, group), kept)
}

// keptOfRegion is partOfRegion by loads alone.
func (s *Scratch) keptOfRegion(v *frame, g bitset.Set) uint64 {
	var parts, weights uint64
	for m := range g.All() {
		if v.eligible.Has(m) {
			member := v.first + uint32(m)
			weight := uint64(s.tree.weights[member])
			parts, weights = parts+s.state.loadFraction(member)*weight, weights+weight
		}
	}
	return parts / max(1, weights)
}

// bestRegion returns the best by score of the regions with an eligible member, except
// home: of those that take this client, if there is one. none: there is no region.
func (s *Scratch) bestRegion(v *frame, home uint32) uint32 {
	network, bits := networkOf(s.client)
	best, taking, found := uint32(none), false, 0
	var cost, capacity uint64
	for g := range v.ngroups {
		of := &s.tree.scores[v.scores+g]
		if g == home || !s.canTake(v, g) {
			continue
		}
		found++
		takes := len(v.slow) == 0 || s.regionAdmits(v, g)
		if taking && !takes {
			continue
		}
		c := s.tree.log2.Cost(mix(network ^ of.key))
		if best == none || takes && !taking || rendezvous.Less(c, of.capacity, cost, capacity) {
			best, taking, cost, capacity = g, takes, c, of.capacity
		}
	}
	if found > 1 {
		s.scope = max(s.scope, bits)
	}
	return best
}

// canTake reports whether a region has capacity and an eligible member.
func (s *Scratch) canTake(v *frame, g uint32) bool {
	return s.tree.scores[v.scores+g].capacity > 0 && v.eligible.Meets(s.tree.group(v.pool, g))
}

// spread records why a client of a lost first region goes to another region.
func (r *recorder) spread(s *Scratch, v *frame, home, region uint32) {
	if r == nil {
		return
	}
	lost, to := r.tree.regionOf(v.id, home), r.tree.regionOf(v.id, region)
	why := fmt.Sprintf("%q is lost", lost)
	if r.state.serves(v.id, home, s.family) {
		why = fmt.Sprintf("%q is in slow start", lost)
	}
	v.nearer, v.lost = "", why+": its clients are spread by capacity"
	for _, share := range r.state.sharesWithout(v.id, home, s.family) {
		if share.Region == to {
			v.lost += fmt.Sprintf(", %.0f %% of them to %q", 100*share.Share, to)
		}
	}
	for i := range r.tree.cfg.Pools[v.id].Members {
		if step := &r.steps[v.step+i]; step.Eligible && !v.eligible.Has(i) {
			step.Reason = fmt.Sprintf("%s: its clients are spread by capacity, and this network goes to %q", why, to)
		}
	}
}

// LostRegion is a region without an eligible member; its clients are spread.
type LostRegion struct {
	Pool   string        `json:"-"`
	Region string        `json:"region"`
	Family string        `json:"family"` // of the requests that go elsewhere
	Shares []RegionShare `json:"shares"` // empty: no region is left
}

// RegionShare is the share of a lost region's clients that a region takes.
type RegionShare struct {
	Region string  `json:"region"`
	Share  float64 `json:"share"` // 0 to 1, before the region sheds
}

// LostRegions lists the lost regions of pools that spread their clients, in the order of pools, regions and
// families.
func (t *Tree) LostRegions() (all []LostRegion) {
	st := t.state.Load()
	for id := range t.pools {
		if t.pools[id].scores != none {
			all = append(all, st.lostRegionsOf(ID(id))...)
		}
	}
	return all
}

func (st *state) lostRegionsOf(id ID) (all []LostRegion) {
	p := &st.tree.pools[id]
	for g := range p.ngroups {
		for _, f := range []Family{IPv4, IPv6} {
			if region := st.tree.regionOf(id, g); region != "" && p.has[f] && !st.serves(id, g, f) {
				all = append(all, LostRegion{st.tree.cfg.Pools[id].Name, region, f.String(), st.sharesWithout(id, g, f)})
			}
		}
	}
	return all
}

// sharesWithout returns the shares of a lost region's clients that the remaining regions take.
func (st *state) sharesWithout(id ID, lost uint32, f Family) []RegionShare {
	p, sum, shares := &st.tree.pools[id], 0., []RegionShare{}
	for g := range p.ngroups {
		if region := st.tree.regionOf(id, g); g != lost && region != "" && st.serves(id, g, f) {
			capacity := float64(st.tree.scores[p.scores+g].capacity)
			shares = append(shares, RegionShare{region, capacity})
			sum += capacity
		}
	}
	for i := range shares {
		shares[i].Share /= sum
	}
	return shares
}

// serves reports whether a group has an eligible member for a family.
func (st *state) serves(id ID, group uint32, f Family) bool {
	p := &st.tree.pools[id]
	for i, w := range st.tree.group(p, group) {
		if w&st.word(p.eligible(f, byVerdict)+uint32(i)) != 0 {
			return true
		}
	}
	return false
}

// closest returns the word for the first region of a ranking.
func (v *frame) closest() string {
	if v.policy == latency {
		return "quickest"
	}
	return "nearest"
}

// whichRegion returns the beginning of the reason for a region.
func (v *frame) whichRegion() string {
	return cmp.Or(v.lost, v.closest()+" region with an eligible member")
}
