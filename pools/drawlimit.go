package pools

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
)

// maxDraws is how many members one decision may draw in all the pools that it
// walks. A message holds at most some 4000 addresses (RFC 1035 4.2.2), so more is a
// mistake. If pools that draw several members share children, the paths to one
// member, each of which is walked, double with every level.
const maxDraws = 10_000

// limitDraws reports an error for pools and names that could draw too many members.
func (c *compiler) limitDraws() {
	draws := make([]int, len(c.cfg.Pools)) // by pool, with its own answers; 0: not computed yet
	for i := range c.cfg.Pools {
		p := &c.cfg.Pools[i]
		if n := c.draws(draws, i); n > maxDraws {
			c.errorf(p, p.Pos, ".answers", tooMany(n), "draw fewer here or in the pools below")
			return // the pools above it would only repeat it
		}
	}
	for i := range c.cfg.Zones {
		z := &c.cfg.Zones[i]
		for b, view := range z.Bindings() {
			id := c.pools[b.Pool]
			if b.Answers == c.cfg.Pools[id].Answers {
				continue
			}
			if n := c.drawsOf(draws, int(id), b.Answers); n > maxDraws {
				c.fail(c.cfg.ErrorAt(b.Pos, answersPath(z, b, view), tooMany(n), "draw fewer here or in the pools below"))
			}
		}
	}
}

func tooMany(n int) string {
	return fmt.Sprintf("one answer could draw %d members or more, nested ones included; at most %d are allowed", n, maxDraws)
}

// answersPath returns the key's path, as package config writes it.
func answersPath(z *config.Zone, b *config.BalancedName, view string) string {
	path := z.Path() + ".names." + strings.TrimSuffix(string(b.Name), ".")
	if view != "" {
		path += ".views." + view
	}
	return path + ".answers"
}

// draws returns the most members that one walk of a pool draws, including nested pools.
// Above maxDraws it is not exact. There is no cycle.
func (c *compiler) draws(known []int, pool int) int {
	if known[pool] == 0 {
		known[pool] = max(1, c.drawsOf(known, pool, c.cfg.Pools[pool].Answers))
	}
	return known[pool]
}

// drawsOf is draws with a given number of answers; 0 is all.
func (c *compiler) drawsOf(known []int, pool, answers int) int {
	members := c.cfg.Pools[pool].Members
	each := make([]int, len(members))
	for i, m := range members {
		each[i] = 1
		if m.Pool != "" {
			each[i] += c.draws(known, int(c.pools[m.Pool]))
		}
	}
	if answers > 0 && answers < len(each) { // the most expensive ones are drawn
		slices.Sort(each)
		each = each[len(each)-answers:]
	}
	sum := 0
	for _, n := range each {
		sum = min(sum+n, maxDraws+1)
	}
	return sum
}
