package pools

import (
	"slices"
	"time"

	"meridian/config"
)

// unboundTTL is the TTL of pools that no name uses, the default of a zone.
const unboundTTL = 30 * time.Second

// clientTTLs returns how long clients hold the answers of each pool: the largest TTL of the
// names that are bound to it, or to a pool that it is a member or the fallback of.
func (t *Tree) clientTTLs() []time.Duration {
	ids := make(map[string]int, len(t.cfg.Pools))
	for i := range t.cfg.Pools {
		ids[t.cfg.Pools[i].Name] = i
	}
	ttls := make([]time.Duration, len(t.pools))
	for i := range t.cfg.Zones {
		for b := range t.cfg.Zones[i].Bindings() {
			of := ids[b.Pool]
			ttl := ttlOf(b)
			ttls[of] = max(ttls[of], ttl)
			if fallback := t.pools[of].fallback; fallback != none {
				ttls[fallback] = max(ttls[fallback], ttl)
			}
		}
	}
	t.inheritTTLs(ttls)
	for i := range ttls {
		if ttls[i] == 0 {
			ttls[i] = unboundTTL
		}
	}
	return ttls
}

func ttlOf(name *config.BalancedName) time.Duration { return time.Duration(name.TTL) * time.Second }

// inheritTTLs gives nested pools the TTLs of their parents.
func (t *Tree) inheritTTLs(ttls []time.Duration) {
	fromTop := make([]ID, len(t.pools))
	for i := range fromTop {
		fromTop[i] = ID(i)
	}
	slices.SortStableFunc(fromTop, func(a, b ID) int { return int(t.pools[b].height) - int(t.pools[a].height) })
	for _, id := range fromTop {
		p := &t.pools[id]
		if p.height == 0 {
			return
		}
		for _, m := range t.members[p.first:][:p.members] {
			if m.child != none {
				ttls[m.child] = max(ttls[m.child], ttls[id])
			}
		}
	}
}
