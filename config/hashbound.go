package config

import "gopkg.in/yaml.v3"

// The range of a bound, in per cent of a fair share: at 100 % no member could take the excess of another.
const (
	leastBound = 101
	mostBound  = 1000
)

// boundUse records a pool with a bound, to be checked after all pools are read.
type boundUse struct {
	pool string
	at   nodeKey
}

// hashMask reads the address bits that a hash uses and the load limit of members.
func (r *poolReader) hashMask(p *Pool) setter {
	bound := r.percentage(&p.Bound, leastBound, mostBound)
	keys := []field{
		{name: "ipv4", set: r.integerInRange(&p.Hash.IPv4, 1, 32)},
		{name: "ipv6", set: r.integerInRange(&p.Hash.IPv6, 1, 128)},
		{name: "bound", set: func(n *yaml.Node) {
			bound(n)
			r.boundPos = nodeKeyOf(n)
		}},
	}
	return func(n *yaml.Node) { r.mapping(n, keys) }
}

// noteBound records the bound of a pool.
func (r *poolReader) noteBound() {
	if r.pool.Bound > 0 {
		r.bounds = append(r.bounds, boundUse{r.pool.Name, r.boundPos})
	}
}

// checkBounds reports an error for bounds of pools in which no member reports a load.
func (d *decoder) checkBounds(cfg *Config) {
	if len(d.bounds) == 0 {
		return
	}
	pools, regions := map[string]*Pool{}, map[string]bool{}
	for i := range cfg.Pools {
		pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	for i := range cfg.Regions {
		regions[cfg.Regions[i].Name] = cfg.Regions[i].Load != nil
	}
	for _, use := range d.bounds {
		if !reportsLoad(pools, regions, use.pool, map[string]bool{}) {
			d.errorAt(use.at, "bound without load", "no member of the pool reports one: write load at the members, or at their region")
		}
	}
}

// reportsLoad reports whether some member of a pool names a load, is a pool that does, or is in a region with a load. seen
// holds the pools visited.
func reportsLoad(pools map[string]*Pool, regions map[string]bool, name string, seen map[string]bool) bool {
	p := pools[name]
	if p == nil || seen[name] {
		return false
	}
	seen[name] = true
	for i := range p.Members {
		switch m := &p.Members[i]; {
		case m.Load != nil:
			if m.Load.Load != "" {
				return true
			}
		case m.Pool != "":
			if reportsLoad(pools, regions, m.Pool, seen) {
				return true
			}
		case regions[m.Region]:
			return true
		}
	}
	return false
}
