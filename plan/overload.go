package plan

import (
	"cmp"
	"slices"

	"meridian/config"
)

// FindBreaches adds to the forecast the regions and members of cfg, the side after, that get
// more than their capacity of the total traffic, in the unit of the capacities; the largest
// relative overload comes first. A member that is a pool gets the traffic of all its members.
// Capacities come from the configuration, not from load reports. With traffic 0 it does nothing.
func (f *Forecast) FindBreaches(cfg *config.Config, traffic float64) {
	f.traffic = traffic
	if traffic == 0 {
		return
	}
	capacities := make(map[string]float64)
	for _, r := range cfg.Regions {
		capacities["region:"+r.Name] = written(r.Load)
	}
	for i := range cfg.Pools {
		for _, m := range cfg.Pools[i].Members {
			capacities[cfg.Pools[i].Name+"/"+m.Name] = written(m.Load)
		}
	}
	for _, capacity := range capacities {
		f.bounded = f.bounded || capacity > 0
	}
	find := func(name string, share Change) {
		load := Change{share.Before * traffic, share.After * traffic}
		if capacity := capacities[name]; capacity > 0 && load.After > capacity {
			f.Breaches = append(f.Breaches, Overload{name, load, capacity})
		}
	}
	for _, r := range f.Regions {
		find("region:"+r.Name, r.Share)
	}
	for _, m := range slices.Concat(f.served, f.nested) {
		find(m.Name, m.Share)
	}
	slices.SortStableFunc(f.Breaches, func(a, b Overload) int {
		return cmp.Compare(b.Load.After/b.Capacity, a.Load.After/a.Capacity)
	})
}

// written returns the capacity in the configuration; 0 if there is none.
func written(of *config.LoadOf) float64 {
	if of == nil {
		return 0
	}
	return float64(of.Capacity)
}

// Bounded reports whether FindBreaches found any capacity.
func (f *Forecast) Bounded() bool { return f.bounded }
