package pools

import (
	"math"
	"strings"

	"meridian/config"
)

// resolveOverrides finds the members that overrides select, in order, each with the
// most specific override.
func (t *Tree) resolveOverrides(overrides []Override) (found []memberOverride, unknown []Override) {
	x := indexOverrides(overrides)
	matched := make([]bool, len(overrides))
	for id := range t.cfg.Pools {
		p := &t.cfg.Pools[id]
		inPool := x.ofPool(p.Name)
		if len(inPool) == 0 && !x.crossesPools() {
			continue
		}
		for i := range p.Members {
			if best := x.mostSpecific(t, inPool, &p.Members[i], matched); best != none {
				found = append(found, overrides[best].applied(t.pools[id].first+uint32(i), best))
			}
		}
	}
	for i, o := range overrides {
		if !matched[i] {
			unknown = append(unknown, o)
		}
	}
	return found, unknown
}

// applied returns the override as applied to a member.
func (o *Override) applied(member, order uint32) memberOverride {
	switch {
	case o.Kind != ReducedWeight:
		return memberOverride{member, order, o.Kind, full}
	case o.Percent <= 0:
		return memberOverride{member, order, Drained, full}
	}
	part := math.Round(min(o.Percent, 100) * full / 100)
	return memberOverride{member, order, 0, uint16(max(1, part))}
}

// overrideIndex holds the indexes of overrides by what they select, so that thousands of
// overrides and of members need no comparison of all with all.
type overrideIndex struct {
	overrides        []Override
	byPool, byRegion map[string][]uint32 // those without a star
	pools, regions   []uint32            // those with a star in the pool or the region
	byAddress        map[string][]uint32
}

func indexOverrides(overrides []Override) *overrideIndex {
	x := &overrideIndex{overrides: overrides, byPool: map[string][]uint32{}, byRegion: map[string][]uint32{}, byAddress: map[string][]uint32{}}
	for i, o := range overrides {
		switch at := uint32(i); {
		case o.Address.IsValid():
			x.byAddress[o.Address.String()] = append(x.byAddress[o.Address.String()], at)
		case hasStar(o.Pool):
			x.pools = append(x.pools, at)
		case o.Pool != "":
			x.byPool[o.Pool] = append(x.byPool[o.Pool], at)
		case hasStar(o.Region):
			x.regions = append(x.regions, at)
		case o.Region != "":
			x.byRegion[o.Region] = append(x.byRegion[o.Region], at)
		}
	}
	return x
}

// crossesPools reports whether some override selects members of any pool.
func (x *overrideIndex) crossesPools() bool {
	return len(x.byRegion)+len(x.regions)+len(x.byAddress) > 0
}

// ofPool returns the overrides that select a pool or members of it by name.
func (x *overrideIndex) ofPool(pool string) []uint32 {
	list := x.byPool[pool]
	for _, at := range x.pools {
		if config.MatchesStar(x.overrides[at].Pool, pool) {
			list = append(list[:len(list):len(list)], at)
		}
	}
	return list
}

// mostSpecific returns which override applies to a member of a pool that inPool selects; none: none.
// It marks those that match it.
func (x *overrideIndex) mostSpecific(t *Tree, inPool []uint32, m *config.Member, matched []bool) uint32 {
	best, rank := uint32(none), -1
	for _, at := range x.matching(t, inPool, m) {
		matched[at] = true
		if r := x.overrides[at].specificity(); r > rank || r == rank && at >= best {
			best, rank = at, r
		}
	}
	return best
}

// matching returns the overrides that select a member.
func (x *overrideIndex) matching(t *Tree, inPool []uint32, m *config.Member) (all []uint32) {
	for _, at := range inPool {
		if member := x.overrides[at].Member; member == "" || config.MatchesStar(member, m.Name) {
			all = append(all, at)
		}
	}
	if m.Region != "" {
		all = append(all, x.byRegion[m.Region]...)
		for _, at := range x.regions {
			if config.MatchesStar(x.overrides[at].Region, m.Region) {
				all = append(all, at)
			}
		}
	}
	if len(x.byAddress) > 0 {
		for _, addr := range t.addressesOf(m) {
			all = append(all, x.byAddress[addr.String()]...)
		}
	}
	return all
}

// specificity orders overrides by how specific their target is, see Override.
func (o *Override) specificity() int {
	rank := 0
	switch {
	case o.Address.IsValid():
		return 5
	case o.Member != "":
		rank = 6
	case o.Pool != "":
		rank = 2
	}
	if !hasStar(o.Pool) && !hasStar(o.Member) && !hasStar(o.Region) {
		rank++
	}
	return rank
}

func hasStar(s string) bool { return strings.Contains(s, "*") }
