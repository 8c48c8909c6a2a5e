package pools

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"meridian/config"
	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// group forms the pool's groups, one for each region among its members in the
// order of the configuration, then one for the members without a region. It leaves the group
// of each region in c.groupOf until the next pool.
func (c *compiler) group(from *config.Pool, p *pool) {
	c.numberGroups(from)
	p.ngroups = uint32(len(c.mine))
	if p.ranks() && len(c.mine) > 1 {
		p.table = c.table(from, p.policy)
		c.groupKeys(from, p)
	}
	t := c.tree
	t.groups = append(t.groups, make(bitset.Set, p.ngroups*p.words)...)
	for i := range from.Members {
		t.group(p, c.groupOf[c.regionOf[i]]).Add(i)
	}
}

// numberGroups collects the regions of a pool's members in c.mine and
// numbers them in c.groupOf; c.regionOf maps members to regions.
func (c *compiler) numberGroups(from *config.Pool) {
	for _, region := range c.mine { // of the previous pool
		c.groupOf[region] = none
	}
	c.mine, c.regionOf = c.mine[:0], c.regionOf[:0]
	for i := range from.Members {
		region := c.region(from, i)
		c.regionOf = append(c.regionOf, region)
		if c.groupOf[region] == none {
			c.groupOf[region] = 0
			c.mine = append(c.mine, region)
		}
	}
	slices.Sort(c.mine)
	for g, region := range c.mine {
		c.groupOf[region] = uint32(g)
	}
}

// region returns the number of a member's region; one past the last for none.
func (c *compiler) region(from *config.Pool, i int) uint32 {
	m := &from.Members[i]
	region, ok := c.regions[m.Region]
	switch {
	case ok:
		return region
	case m.Region != "":
		c.errorf(from, m.Pos, fmt.Sprintf(".members[%d].region", i), fmt.Sprintf("unknown region %q", m.Region), "a region of this file")
	}
	return uint32(len(c.cfg.Regions))
}

// table returns the number of the geo table that ranks the regions of the pool being
// compiled; rank makes it. Pools of a policy with the same regions share one.
func (c *compiler) table(from *config.Pool, by policy) uint32 {
	ranked := c.mine
	if last := len(ranked) - 1; int(ranked[last]) == len(c.cfg.Regions) {
		ranked = ranked[:last] // no region
	}
	c.key = append(c.key[:0], byte(by))
	for _, region := range ranked {
		c.key = binary.LittleEndian.AppendUint32(c.key, region)
	}
	if table, ok := c.tables[string(c.key)]; ok {
		return table
	}
	regions := make([]config.Region, len(ranked))
	for i, region := range ranked {
		regions[i] = c.cfg.Regions[region]
	}
	number := uint32(len(c.rankings))
	c.rankings = append(c.rankings, ranking{pool: from, regions: regions, measured: by == latency})
	c.tables[string(c.key)] = number
	return number
}

// ranking is a geo table to be made.
type ranking struct {
	pool     *config.Pool // the first that needs it
	regions  []config.Region
	measured bool           // rank the regions by round trips
	matches  []config.Match // instead of regions
	owners   []int          // by match: the first member that has it
	err      error
}

func (r *ranking) make(where *geo.Locator, roundTrips *geo.Latency) (*geo.Table, error) {
	switch {
	case r.matches != nil:
		return where.Matches(r.matches)
	case r.measured:
		return where.LatencyTable(roundTrips, r.regions)
	}
	return where.Table(r.regions)
}

// rank makes the geo tables, several at a time if the Locator allows it: with a City
// database each takes a second. Tables that like has are taken from it.
func (c *compiler) rank(like *Tree) {
	tables := make([]*geo.Table, len(c.rankings))
	var taken atomic.Int64
	work := func() {
		for i := taken.Add(1) - 1; int(i) < len(tables); i = taken.Add(1) - 1 {
			if like != nil && (!c.rankings[i].measured || like.roundTrips == c.tree.roundTrips) {
				tables[i] = like.geoTables[i] // the numbers follow from the configuration alone
				continue
			}
			tables[i], c.rankings[i].err = c.rankings[i].make(c.tree.locator, c.tree.roundTrips)
		}
	}
	var workers sync.WaitGroup
	for n := 1; n < len(tables) && n < c.tree.locator.Makers(); n++ {
		workers.Go(work)
	}
	work() // the caller is a worker, and may be the only one
	workers.Wait()
	c.tree.geoTables = tables
	c.tree.matches, c.tree.measured = map[uint32][]config.Match{}, map[uint32][]config.Region{}
	for i, r := range c.rankings {
		c.tree.matches[uint32(i)] = r.matches
		if r.measured {
			c.tree.measured[uint32(i)] = r.regions
		}
	}
	for _, r := range c.rankings {
		if !c.failRanking(r) {
			return
		}
	}
}

// failRanking reports that regions could not be ranked. An error of the database
// comes from geo itself and is reported once; then it returns false.
func (c *compiler) failRanking(r ranking) bool {
	if f, ok := errors.AsType[config.Error](r.err); ok {
		c.fail(f)
		return false
	}
	if found, ok := errors.AsType[geo.MatchErrors](r.err); ok {
		for _, f := range found {
			member := r.owners[f.Match]
			c.errorf(r.pool, f.Term.Pos, fmt.Sprintf(".members[%d].match%s", member, f.Term.Path), f.What, f.Hint)
		}
		return true
	}
	if r.err != nil {
		c.errorf(r.pool, r.pool.Pos, "", "cannot compile its table: "+r.err.Error(), "")
	}
	return true
}

// Tables returns how many geo tables the pools use, one for each distinct set of regions or
// matches, and how many bytes of memory they hold together.
func (t *Tree) Tables() (tables, bytes int) {
	counted := map[*geo.Table]bool{}
	for _, table := range t.geoTables {
		if table != nil && !counted[table] {
			counted[table] = true
			bytes += table.Bytes()
		}
	}
	return len(counted), bytes
}
