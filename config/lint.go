package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxRecords is how many addresses one answer may carry before resolvers begin
// to refuse it (BIND's max-records-per-type).
const maxRecords = 100

// survey warns of what is allowed and yet seldom meant. It takes a sound
// configuration.
func (d *decoder) survey(cfg *Config) {
	if len(cfg.Zones) == 0 {
		d.warn(d.doc.root, "no zones: every query is refused", "write at least one under zones")
	}
	s := &linter{decoder: d, pools: make(map[string]*Pool), sizes: make(map[string]perFamily), records: make(map[draw]perFamily)}
	s.reports, s.bound = make(map[string]bool), boundPools(cfg.Zones)
	s.several, s.loaded = severalAnswers(cfg.Zones), loadedRegions(cfg.Regions)
	for i := range cfg.Pools {
		s.pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	for i := range cfg.Pools {
		s.mixedFamilies(&cfg.Pools[i])
		s.largeAnswers(&cfg.Pools[i])
		s.unusedSettings(&cfg.Pools[i])
		s.ineffective(&cfg.Pools[i])
		s.leaks(&cfg.Pools[i])
	}
	for i := range cfg.Zones {
		s.largeNames(&cfg.Zones[i])
	}
	d.unused(cfg)
	d.unmeasured(cfg)
	d.idleSources(cfg)
	d.shadowed(cfg)
}

// boundPools returns the pools that names are bound to.
func boundPools(zones []Zone) map[string]bool {
	bound := make(map[string]bool)
	for i := range zones {
		for j := range zones[i].Names {
			bound[zones[i].Names[j].Pool] = true
		}
	}
	return bound
}

// unused warns of what is defined and never referred to.
func (d *decoder) unused(cfg *Config) {
	for k, known := range d.declared {
		for name, def := range known {
			if byDefault := k == kindRegion && name == cfg.Geo.Default; !def.used && !byDefault {
				d.warnAt(def.at, string(k)+" "+quote(name)+" is not used", "")
			}
		}
	}
}

// shadowed warns of names that a zone inside theirs answers: the closest zone wins.
func (d *decoder) shadowed(cfg *Config) {
	apexes := make(map[Name]bool, len(cfg.Zones))
	for _, z := range cfg.Zones {
		apexes[z.Name] = true
	}
	for _, z := range outerZones(cfg.Zones, apexes) {
		for _, b := range z.Names {
			if inner, ok := enclosing(b.Name, z.Name, apexes); ok {
				d.warnAt(keyAt(b.Pos), quote(string(b.Name))+" is answered by zone "+quote(string(inner)), "move it there")
			}
		}
	}
}

// outerZones are the zones that have another zone inside.
func outerZones(zones []Zone, apexes map[Name]bool) []*Zone {
	outer := make(map[Name]bool)
	for _, z := range zones {
		for name := z.Name; name != "."; {
			name = name.parent()
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

// enclosing is the longest of the apexes that name lies within, if it is not zone.
func enclosing(name, zone Name, apexes map[Name]bool) (Name, bool) {
	for ; name != zone; name = name.parent() {
		if apexes[name] {
			return name, true
		}
	}
	return "", false
}

// keyAt is the place of a key that is not empty.
func keyAt(pos Pos) nodeKey { return nodeKey{pos: pos, kind: yaml.ScalarNode} }

// perFamily is a number of addresses for each family: IPv4, IPv6.
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
	pools   map[string]*Pool
	sizes   map[string]perFamily // what size found
	records map[draw]perFamily   // what answer found
	several map[string]bool      // the pools of which a name asks for more answers than one
	loaded  map[string]bool      // the regions that say their load
	reports map[string]bool      // what reported found, by pool
	bound   map[string]bool      // the pools that a name is bound to
}

// draw is a pool and how many of its members an answer may draw; 0: all.
type draw struct {
	pool    string
	answers int
}

// plus adds up to a bound that no warning needs to see past: nested pools
// multiply, and must not overflow.
func (p perFamily) plus(q perFamily) perFamily {
	const bound = 1 << 20
	return perFamily{min(p[0]+q[0], bound), min(p[1]+q[1], bound)}
}

// size is how many addresses a member leads to.
func (s *linter) size(m *Member) perFamily {
	var n perFamily
	if m.named() {
		return perFamily{1, 1} // what the name leads to is not known here
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

// total is how many addresses the members of p lead to.
func (s *linter) total(p *Pool) perFamily {
	var n perFamily
	for i := range p.Members {
		n = n.plus(s.size(&p.Members[i]))
	}
	return n
}

// mixedFamilies warns of a pool some of whose members lack a family that
// others have: they are passed over for it, and their weight goes to the rest.
func (s *linter) mixedFamilies(p *Pool) {
	if slices.ContainsFunc(p.Members, func(m Member) bool { return m.named() }) {
		return // which families a name has is not known here, and may change
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
			fmt.Sprintf("%d of %d members have no %s address: %s", len(without), len(p.Members), name, few(without)),
			"members of one pool best have the same families")
	}
}

// few is a list for a message, cut where it is long.
func few(words []string) string {
	const most = 5
	if len(words) > most {
		return strings.Join(words[:most], ", ") + ", ..."
	}
	return strings.Join(words, ", ")
}

func (s *linter) largeAnswers(p *Pool) {
	if s.total(p).most() <= maxRecords {
		return // fast path: no draw is larger than all
	}
	if n := s.mostRecords(p, p.Answers); n > maxRecords {
		s.warnAt(keyAt(p.Pos), tooManyRecords(n), largeHint)
	}
}

// largeNames is largeAnswers for names with answers of their own.
func (s *linter) largeNames(z *Zone) {
	for _, b := range z.Names {
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

// mostRecords is how many addresses of one family an answer of p may carry, where
// that is more than maxRecords: no more than there are, for an address that
// several members share is answered once.
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

// distinct adds the addresses of p, and of the pools below that were not seen yet.
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

// answer is the most addresses that pool p brings when it may draw so many
// members; 0: all. Under proximity and latency they are all of one region.
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

// largest is the sum, for each family, of the n largest numbers; 0: of all.
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
			sum = sum.plus(one)
		}
	}
	return sum
}
