package geo

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"meridian/config"
)

// Matched is a match of a client, with its reason.
type Matched struct {
	Index int    // of the match
	By    string // "network 10.0.0.0/8", "ASN 64500", "city US-CA/San Jose", "subdivision US-CA", "country DE", "group dach", "continent EU", "default"
}

// Matching returns the matches of addr, most specific first, each once. It is slow and only for explanations; the
// server uses Matches.
//
//	known of the client      matches, in this order
//	its address              the networks that contain it, longest prefix first
//	its ASN                  the one with that ASN
//	its city                 the one with that city of its subdivision
//	                         the one with that city of its country
//	its subdivision          the one with that subdivision
//	its country              the one with that country
//	                         the groups with that country, smallest first
//	its continent            the one with that continent
//	nothing more             the default
func (l *Locator) Matching(addr netip.Addr, matches []config.Match) []Matched {
	m := newMatcher(l.cfg, matches)
	at := l.Locate(addr)
	var found []Matched
	for _, level := range [][]Matched{m.byNetwork(addr), m.byASN(at.ASN), m.byLocation(at), m.byDefault()} {
		for _, one := range level {
			if !slices.ContainsFunc(found, func(f Matched) bool { return f.Index == one.Index }) {
				found = append(found, one)
			}
		}
	}
	return found
}

// matcher finds matches by their terms. Each term belongs to one match only.
type matcher struct {
	networks []netip.Prefix // longest first
	network  map[netip.Prefix]int
	asn      map[uint32]int
	place    map[string]int // by city, subdivision, country or continent; their keys never collide
	cities   bool           // whether place has cities
	groups   []matchGroup   // smallest first
	without  int            // the default match; -1: none
	terms    []term
}

// matchGroup is a country group in a match.
type matchGroup struct {
	config.CountryGroup
	match int
}

// term is a term of a kind that not all sources provide, with its match.
type term struct {
	kind  string
	value any
	match int
	from  *config.Match
}

func newMatcher(cfg *config.Config, matches []config.Match) *matcher {
	m := &matcher{network: map[netip.Prefix]int{}, asn: map[uint32]int{}, place: map[string]int{}, without: -1}
	for i := range matches {
		m.add(cfg, i, &matches[i])
	}
	slices.SortStableFunc(m.networks, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	slices.SortStableFunc(m.groups, func(a, b matchGroup) int { return cmp.Compare(len(a.Countries), len(b.Countries)) })
	return m
}

// add adds the i-th match.
func (m *matcher) add(cfg *config.Config, i int, match *config.Match) {
	for _, p := range match.Networks {
		p = unmapPrefix(p)
		m.networks = append(m.networks, p)
		m.network[p] = i
	}
	for _, asn := range match.ASNs {
		m.terms = append(m.terms, term{"asn", asn, i, match})
		m.asn[asn] = i
	}
	for _, city := range match.Cities {
		m.terms = append(m.terms, term{"city", city, i, match})
		m.place[city], m.cities = i, true
	}
	for _, code := range match.Subdivisions {
		m.terms = append(m.terms, term{"subdivision", code, i, match})
		m.place[code] = i
	}
	for _, code := range match.Countries {
		m.place[code] = i
	}
	for _, code := range match.Continents {
		m.place[continentKey(code)] = i
	}
	for _, g := range cfg.Geo.Groups {
		if slices.Contains(match.Groups, g.Name) {
			m.groups = append(m.groups, matchGroup{g, i})
		}
	}
	if match.Default {
		m.without = i
	}
}

// continentKey distinguishes a continent's code from a country's: NA is also Namibia.
func continentKey(code string) string { return "continent " + code }

// cityKey returns the key of a city of a country or subdivision, in the form of config.Match.
func cityKey(where, name string) string { return where + "/" + strings.ToLower(name) }

func (m *matcher) byNetwork(addr netip.Addr) []Matched {
	var found []Matched
	addr = addr.Unmap().WithZone("")
	for _, p := range m.networks {
		if p.Contains(addr) {
			found = append(found, Matched{m.network[p], "network " + p.String()})
		}
	}
	return found
}

func (m *matcher) byASN(asn uint32) []Matched {
	if i, ok := m.asn[asn]; ok {
		return []Matched{{i, fmt.Sprint("ASN ", asn)}}
	}
	return nil
}

func (m *matcher) byLocation(at Location) []Matched {
	var found []Matched
	one := func(what, code, key string) {
		if i, ok := m.place[key]; ok && code != "" {
			found = append(found, Matched{i, what + " " + code})
		}
	}
	if m.cities && at.City != "" {
		one("city", at.Subdivision+"/"+at.City, cityKey(at.Subdivision, at.City))
		one("city", at.Country+"/"+at.City, cityKey(at.Country, at.City))
	}
	one("subdivision", at.Subdivision, at.Subdivision)
	one("country", at.Country, at.Country)
	for _, g := range m.groups {
		if slices.Contains(g.Countries, at.Country) {
			found = append(found, Matched{g.match, "group " + g.Name})
		}
	}
	one("continent", at.Continent, continentKey(at.Continent))
	return found
}

func (m *matcher) byDefault() []Matched {
	if m.without < 0 {
		return nil
	}
	return []Matched{{m.without, "default"}}
}
