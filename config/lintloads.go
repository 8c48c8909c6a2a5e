package config

// idleLoadLimits warns of limits of the load of members if no load is ever known. Under proximity and latency, shed spreads
// the clients of a lost region even so.
func (s *linter) idleLoadLimits(p *Pool) {
	limited := p.Shed != (Shed{}) || p.Bound > 0
	if !limited || s.loadKnown(p) {
		return
	}
	const hint = "write load at the members or their regions, or leave it out"
	if p.Bound > 0 {
		s.idle(p, "bound", "bound has no effect: no member has a load, so that clients keep their member however loaded it is", hint)
	}
	if p.Shed == (Shed{}) {
		return
	}
	if !p.Policy.RanksRegions() {
		s.idle(p, "shed", "shed has no effect: no member has a load", hint)
		return
	}
	if !p.anyMember(func(m *Member) bool { return m.Load != nil || s.capacities[m.Region] }) {
		s.idle(p, "shed", "no member has a load: shed only spreads the clients of a lost region over the others", hint)
	}
}

// regionsWith returns the regions with a load or capacity for which has is true.
func regionsWith(regions []Region, has func(*LoadOf) bool) map[string]bool {
	found := make(map[string]bool)
	for i := range regions {
		if of := regions[i].Load; of != nil && has(of) {
			found[regions[i].Name] = true
		}
	}
	return found
}

// idleCapacities warns of capacities without a load that only forecasts compare with traffic:
//
//	a capacity of  is used without a load by
//	a member       policy: least-load of its pool, and shed of a proximity or latency pool that it is in
//	a region       shed of a proximity or latency pool with a member in it
func (s *linter) idleCapacities(cfg *Config) {
	spread, regions := map[string]bool{}, map[string]bool{}
	for i := range cfg.Pools {
		if p := &cfg.Pools[i]; p.Policy.RanksRegions() && p.Shed != (Shed{}) {
			s.markNested(p, spread)
			for j := range p.Members {
				regions[p.Members[j].Region] = true
			}
		}
	}
	for _, use := range s.loadUses {
		used := regions[use.region]
		if use.pool != "" {
			used = spread[use.pool] || s.pools[use.pool].Policy == LeastLoad
		}
		if use.of.Load == "" && !used {
			s.warnAt(use.at, "capacity without load: only meridian plan compares traffic with it", "name a load too, or leave the capacity out")
		}
	}
}

// markNested adds p and the pools in it to found.
func (s *linter) markNested(p *Pool, found map[string]bool) {
	if found[p.Name] {
		return
	}
	found[p.Name] = true
	for i := range p.Members {
		if child := s.pools[p.Members[i].Pool]; child != nil {
			s.markNested(child, found)
		}
	}
}
