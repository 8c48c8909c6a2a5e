package config

import (
	"fmt"
	"net/netip"
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/dnsname"
	"meridian/errtext"
)

// maxRecords is the number of addresses in one answer that resolvers accept (BIND's max-records-per-type).
const maxRecords = 100

// lint warns of settings that are allowed but probably unintended. It takes a valid configuration.
func (d *decoder) lint(cfg *Config) {
	switch {
	case len(cfg.Zones) == 0 && cfg.Cluster.Shared:
		d.warn(d.doc.Root, "no zones: every query is refused", "they belong to the shared configuration: meridian config push brings it to all nodes")
	case len(cfg.Zones) == 0:
		d.warn(d.doc.Root, "no zones: every query is refused", "write at least one under zones")
	}
	s := &linter{decoder: d, pools: make(map[string]*Pool), sizes: make(map[string]perFamily), records: make(map[draw]perFamily), types: make(map[string]uint8)}
	s.reportsLoad, s.bound = make(map[string]bool), boundPools(cfg.Zones)
	s.decidesECS = ecsPools(cfg.Zones)
	s.multiAnswer = severalAnswers(cfg.Zones)
	s.loadedRegions = regionsWith(cfg.Regions, func(of *LoadOf) bool { return of.Load != "" })
	s.capacities = regionsWith(cfg.Regions, func(of *LoadOf) bool { return of.Capacity > 0 })
	for i := range cfg.Pools {
		s.pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	for i := range cfg.Pools {
		s.mixedFamilies(&cfg.Pools[i])
		s.mixedRecords(&cfg.Pools[i])
		s.largeAnswers(&cfg.Pools[i])
		s.unusedSettings(&cfg.Pools[i])
		s.ineffectiveSettings(&cfg.Pools[i])
		s.fenceLeaks(&cfg.Pools[i])
	}
	for i := range cfg.Zones {
		s.largeNames(&cfg.Zones[i])
	}
	s.idleCapacities(cfg)
	d.warnUnused(cfg)
	d.unmeasured(cfg)
	d.idleSources(cfg)
	d.warnShadowed(cfg)
	d.warnUnreachableViews(cfg)
	d.warnUnreadMetrics(cfg)
	d.warnManySeries(cfg)
	d.warnOfCatalogs(cfg)
	d.warnOfLive(cfg)
}

// boundPools returns the pools that names are bound to.
func boundPools(zones []Zone) map[string]bool {
	bound := make(map[string]bool)
	for i := range zones {
		for b := range zones[i].Bindings() {
			bound[b.Pool] = true
		}
	}
	return bound
}

// ecsPools returns the pools that decide whether names use client subnets: not those of views, and for AAAA only.
func ecsPools(zones []Zone) map[string]bool {
	decide := make(map[string]bool)
	for i := range zones {
		for j := range zones[i].Names {
			decide[zones[i].Names[j].Pool] = true
		}
	}
	return decide
}

// warnUnused warns of definitions without a reference.
func (d *decoder) warnUnused(cfg *Config) {
	for k, known := range d.declared {
		for name, def := range known {
			if byDefault := k == kindRegion && name == cfg.Geo.Default; !def.used && !byDefault {
				d.warnAt(def.at, string(k)+" "+quote(name)+" is not used", "")
			}
		}
	}
}

// warnShadowed warns of names that an inner zone answers: the closest zone wins.
func (d *decoder) warnShadowed(cfg *Config) {
	apexes := make(map[dnsname.Name]bool, len(cfg.Zones))
	for _, z := range cfg.Zones {
		apexes[z.Name] = true
	}
	for _, z := range outerZones(cfg.Zones, apexes) {
		warn := func(name dnsname.Name, at Pos) {
			if inner, ok := closestApex(name, z.Name, apexes); ok {
				d.warnAt(keyAt(at), quote(string(name))+" is answered by zone "+quote(string(inner)), "move it there")
			}
		}
		for _, b := range z.Names {
			warn(b.Name, b.Pos)
		}
		for _, w := range z.Whoami {
			warn(w.Name, w.Pos)
		}
	}
}

// outerZones returns the zones with another zone inside.
func outerZones(zones []Zone, apexes map[dnsname.Name]bool) []*Zone {
	outer := make(map[dnsname.Name]bool)
	for _, z := range zones {
		for name := z.Name; name != "."; {
			name = name.Parent()
			if apexes[name] {
				outer[name] = true
			}
		}
	}
	var found []*Zone
	for i := range zones {
		if outer[zones[i].Name] {
			found = append(found, &zones[i])
		}
	}
	return found
}

// closestApex returns the longest of the apexes that name is in, if it is not zone.
func closestApex(name, zone dnsname.Name, apexes map[dnsname.Name]bool) (dnsname.Name, bool) {
	for ; name != zone; name = name.Parent() {
		if apexes[name] {
			return name, true
		}
	}
	return "", false
}

// keyAt returns the place of a key that is not empty.
func keyAt(pos Pos) nodeKey { return nodeKey{pos: pos, kind: yaml.ScalarNode} }

// perFamily holds a number of addresses for each family: IPv4, IPv6.
type perFamily [2]int

func (p perFamily) most() int { return max(p[0], p[1]) }

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// linter looks at pools as a tree.
type linter struct {
	*decoder
	pools         map[string]*Pool
	sizes         map[string]perFamily // results of size
	records       map[draw]perFamily   // results of answer
	multiAnswer   map[string]bool      // pools with a name that requests several answers
	loadedRegions map[string]bool      // regions with a load
	capacities    map[string]bool      // regions with a capacity
	reportsLoad   map[string]bool      // results of reported, by pool
	bound         map[string]bool      // pools that a name is bound to
	decidesECS    map[string]bool      // see ecsPools
	types         map[string]uint8     // results of typesOf, by pool
}

// draw is a pool and the number of members that an answer may draw; 0: all.
type draw struct {
	pool    string
	answers int
}

// add adds up to a limit that is sufficient for every warning: counts of nested pools multiply and must not overflow.
func (p perFamily) add(q perFamily) perFamily {
	const bound = 1 << 20
	return perFamily{min(p[0]+q[0], bound), min(p[1]+q[1], bound)}
}

// size returns the number of addresses of a member.
func (s *linter) size(m *Member) perFamily {
	var n perFamily
	if m.hasNamedAddresses() {
		return perFamily{1, 1} // the addresses of the name are not known here
	}
	for _, a := range m.Addresses {
		n[family(a)]++
	}
	if m.Pool == "" {
		return n
	}
	if known, ok := s.sizes[m.Pool]; ok {
		return known
	}
	n = s.total(s.pools[m.Pool])
	s.sizes[m.Pool] = n
	return n
}

// total returns the number of addresses of the members of p.
func (s *linter) total(p *Pool) perFamily {
	var n perFamily
	for i := range p.Members {
		n = n.add(s.size(&p.Members[i]))
	}
	return n
}

// mixedFamilies warns of pools with members that lack an address family that others have: answers of that family skip
// them, and their weight goes to the rest.
func (s *linter) mixedFamilies(p *Pool) {
	if slices.ContainsFunc(p.Members, func(m Member) bool { return m.hasNamedAddresses() }) {
		return // the families of the name are not known here and may change
	}
	for f, name := range [...]string{"IPv4", "IPv6"} {
		var without []string
		for i := range p.Members {
			if s.size(&p.Members[i])[f] == 0 {
				without = append(without, quote(p.Members[i].Name))
			}
		}
		if len(without) == 0 || len(without) == len(p.Members) {
			continue
		}
		s.warnAt(keyAt(p.Pos),
			fmt.Sprintf("%d of %d members have no %s address: %s", len(without), len(p.Members), name, errtext.List(without)),
			"give all members of a pool the same families")
	}
}

func (s *linter) largeAnswers(p *Pool) {
	if s.total(p).most() <= maxRecords {
		return // fast path: no draw is larger than all
	}
	if n := s.mostRecords(p, p.Answers); n > maxRecords {
		s.warnAt(keyAt(p.Pos), tooManyRecords(n), largeHint)
	}
}

// largeNames applies largeAnswers to names with their own number of answers.
func (s *linter) largeNames(z *Zone) {
	for b := range z.Bindings() {
		p := s.pools[b.Pool]
		if b.Answers == p.Answers {
			continue
		}
		if n := s.mostRecords(p, b.Answers); n > maxRecords {
			s.warnAt(keyAt(b.Pos), tooManyRecords(n), largeHint)
		}
	}
}

func tooManyRecords(n int) string { return fmt.Sprintf("up to %d addresses in one answer", n) }

const largeHint = "resolvers such as BIND refuse more than 100: write a smaller answers"

// mostRecords returns the number of addresses of one family in an answer of p if it exceeds maxRecords, limited by the
// distinct addresses: an answer lists a shared address once.
func (s *linter) mostRecords(p *Pool, answers int) int {
	n := s.answer(p, answers)
	if n.most() <= maxRecords {
		return n.most()
	}
	var shared perFamily
	for a := range s.distinct(p, make(map[netip.Addr]bool), make(map[string]bool)) {
		shared[family(a)]++
	}
	return perFamily{min(n[0], shared[0]), min(n[1], shared[1])}.most()
}

// distinct adds the addresses of p and of its nested pools that are not in seen.
func (s *linter) distinct(p *Pool, to map[netip.Addr]bool, seen map[string]bool) map[netip.Addr]bool {
	seen[p.Name] = true
	for i := range p.Members {
		for _, a := range p.Members[i].Addresses {
			to[a] = true
		}
		if inner := p.Members[i].Pool; inner != "" && !seen[inner] {
			s.distinct(s.pools[inner], to, seen)
		}
	}
	return to
}

// answer returns the largest number of addresses that pool p returns if it may draw so many members; 0: all. Under
// proximity and latency all of them are in one region.
func (s *linter) answer(p *Pool, answers int) perFamily {
	if known, ok := s.records[draw{p.Name, answers}]; ok {
		return known
	}
	byRegion := make(map[string][]perFamily)
	for i := range p.Members {
		m := &p.Members[i]
		region := ""
		switch {
		case p.Policy.RanksRegions():
			region = m.Region
		case p.Policy == Geolocation:
			region = m.Match.String()
		}
		brings := s.size(m)
		if m.Pool != "" {
			inner := s.pools[m.Pool]
			brings = s.answer(inner, inner.Answers)
		}
		byRegion[region] = append(byRegion[region], brings)
	}
	var most perFamily
	for _, members := range byRegion {
		drawn := largest(members, answers)
		most = perFamily{max(most[0], drawn[0]), max(most[1], drawn[1])}
	}
	s.records[draw{p.Name, answers}] = most
	return most
}

// largest returns the sum, for each family, of the n largest numbers; 0: of all.
func largest(members []perFamily, n int) perFamily {
	if n == 0 || n > len(members) {
		n = len(members)
	}
	var sum perFamily
	for f := range sum {
		slices.SortFunc(members, func(a, b perFamily) int { return b[f] - a[f] })
		for _, m := range members[:n] {
			var one perFamily
			one[f] = m[f]
			sum = sum.add(one)
		}
	}
	return sum
}
