package pools

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meridian/config"
)

// matching lists a client's matches of a geolocation pool, most specific first,
// without tables.
func (r reference) matching(p *config.Pool, client netip.Addr) []string {
	at := r.where.Locate(client)
	var levels []func(*config.Match) bool
	for bits := 128; bits >= 0; bits-- {
		levels = append(levels, func(m *config.Match) bool {
			return slices.ContainsFunc(m.Networks, func(n netip.Prefix) bool { return n.Bits() == bits && n.Contains(client.Unmap()) })
		})
	}
	levels = append(levels,
		func(m *config.Match) bool { return slices.Contains(m.Subdivisions, at.Subdivision) },
		func(m *config.Match) bool { return slices.Contains(m.Countries, at.Country) })
	groups := slices.Clone(r.cfg.Geo.Groups)
	slices.SortFunc(groups, func(a, b config.CountryGroup) int { return cmp.Compare(len(a.Countries), len(b.Countries)) })
	for _, g := range groups {
		levels = append(levels, func(m *config.Match) bool {
			return slices.Contains(m.Groups, g.Name) && slices.Contains(g.Countries, at.Country)
		})
	}
	levels = append(levels,
		func(m *config.Match) bool { return slices.Contains(m.Continents, at.Continent) },
		func(m *config.Match) bool { return m.Default })
	var matches []string
	for _, level := range levels {
		for i := range p.Members { // those that are down too
			if match := p.Members[i].Match; level(match) && !slices.Contains(matches, match.String()) {
				matches = append(matches, match.String())
			}
		}
	}
	return matches
}

// rendezvous returns the member with the lowest score, in floating point.
func (d drawing) rendezvous(from []*config.Member) *config.Member {
	p, client := d.pool, d.client.Unmap()
	var network uint64
	if client.Is4() {
		prefix, _ := client.Prefix(p.Hash.IPv4)
		b := prefix.Addr().As4()
		network = mix(uint64(binary.BigEndian.Uint32(b[:]))>>(32-p.Hash.IPv4) + golden)
	} else {
		prefix, _ := client.Prefix(p.Hash.IPv6)
		b := prefix.Addr().As16()
		hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
		network = mix(mix(hi>>max(0, 64-p.Hash.IPv6)+golden) ^ lo>>min(128-p.Hash.IPv6, 64))
	}
	if p.StickyTTL {
		phase := network % uint64(d.ttl)
		network = mix(network + mix((uint64(d.time)+phase)/uint64(d.ttl)))
	}
	score := func(m *config.Member) float64 {
		h := fnv.New64a()
		h.Write([]byte(p.Name + "\x00" + m.Name))
		u := float64(mix(network^mix(h.Sum64()))) / math.Exp2(64)
		return -math.Log(u) / float64(weightOf(p, m)*d.part(m))
	}
	return slices.MinFunc(from, func(a, b *config.Member) int { return cmp.Compare(score(a), score(b)) })
}

// soonest returns the members within a tenth, or a millisecond, of the lowest response time.
func (d drawing) soonest(from []*config.Member) []*config.Member {
	best := time.Duration(0)
	for _, m := range from {
		if pace := d.pace(m); pace > 0 && (best == 0 || pace < best) {
			best = pace
		}
	}
	if best == 0 {
		return from
	}
	var found []*config.Member
	for _, m := range from {
		if pace := d.pace(m); pace > 0 && pace <= best+max(best/10, time.Millisecond) {
			found = append(found, m)
		}
	}
	return found
}

// pace returns the response time of a member.
func (r reference) pace(m *config.Member, open bool) time.Duration {
	if m.Weight == 0 || !m.Enabled {
		return 0
	}
	best := time.Duration(0)
	keep := func(d time.Duration) {
		if d > 0 && (best == 0 || d < best) {
			best = d
		}
	}
	for _, a := range m.Addresses {
		if open || !r.down[a] {
			keep(r.took[a])
		}
	}
	if m.Pool != "" {
		members := r.pool(m.Pool).Members
		for i := range members {
			keep(r.pace(&members[i], open))
		}
	}
	return best
}

// randomMatches returns matches without a common term, the default among them.
func randomMatches(rnd *rand.Rand) []string {
	terms := []string{
		"network:192.88.99.64/27", "network:198.51.100.0/25", "network:198.51.0.0/16", "network:2001:4860::/32", "subdivision:DE-BE",
		"country:DE", "country:US", "country:NL", "group:alps", "group:europe", "continent:EU", "continent:AS", "continent:NA",
	}
	rnd.Shuffle(len(terms), func(i, j int) { terms[i], terms[j] = terms[j], terms[i] })
	matches := []string{"default"}
	for _, term := range terms[:rnd.IntN(len(terms))] {
		if last := len(matches) - 1; last > 0 && rnd.IntN(3) == 0 {
			matches[last] += "," + term
		} else {
			matches = append(matches, term)
		}
	}
	return matches
}

// compareOdds compares Probabilities with the reference with one answer everywhere.
func compareOdds(t *testing.T, tree *Tree, r reference, q Request, s *Scratch) {
	t.Helper()
	r.one, r.overTime = true, true
	p := &r.cfg.Pools[q.Pool]
	_, want := r.ask(p.Name, q.Family, 1, q.Client)
	d, shares := tree.Probabilities(q, s)
	got, sum := outcomes{}, 0.0
	for _, share := range shares {
		text := ""
		if share.Addr.IsValid() {
			text = share.Addr.String()
		}
		got[text] += share.P
		sum += share.P
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("%+v: the odds add up to %v: %v", q, sum, shares)
	}
	for answer, p := range want {
		if math.Abs(got[answer]-p) > 1e-9 {
			t.Errorf("%+v: odds of %q are %v, want %v", q, answer, got[answer], p)
		}
	}
	q.Answers = 1
	if other := tree.Decide(q, s); other.Mode != d.Mode && !hasOpen(r.cfg) { // only some draws may reach a match that fails open
		t.Errorf("%+v: odds of mode %s, decided in %s", q, d.Mode, other.Mode)
	}
}
