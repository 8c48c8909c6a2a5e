package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// maxASN is the highest autonomous system number that may announce a network: the last one is reserved (RFC 7300), and
// 0 means none (RFC 7607).
const maxASN = 1<<32 - 2

// byDefault is the match of clients that match no other member.
const byDefault = "default"

// match reads the clients of a member: `default`, or a mapping from a property of a client to the values that match,
// one or a list.
func (r *poolReader) match(n *yaml.Node) {
	m := &Match{Pos: posOf(n)}
	r.written, r.terms = clearMap(r.written), nil
	if n.Kind == yaml.ScalarNode && !yamldoc.IsNull(n) {
		if n.Value != byDefault {
			r.errorf(n, quote(n.Value)+" is not a match", "write default, or a mapping such as {country: [DE, AT]}")
			return
		}
		m.Default = true
		r.term(term{byDefault, byDefault, nodeKeyOf(n)})
		r.member.Match = m
		return
	}
	ok := r.mapping(n, []field{
		{name: "network", set: terms(r, "network", &m.Networks, r.matchNetwork)},
		{name: "asn", set: terms(r, termASN, &m.ASNs, r.asn)},
		{name: "city", set: terms(r, termCity, &m.Cities, r.city)},
		{name: "subdivision", set: terms(r, termSubdivision, &m.Subdivisions, r.subdivision)},
		{name: "country", set: terms(r, "country", &m.Countries, r.country)},
		{name: "group", set: terms(r, "group", &m.Groups, r.group)},
		{name: "continent", set: terms(r, "continent", &m.Continents, r.continent)},
	})
	if !ok {
		return
	}
	if len(n.Content) == 0 {
		r.errorAtKey(n, "an empty match", "write default for clients that match no other member")
	}
	m.Terms = r.terms
	r.member.Match = m
}

// Term returns the text and path of an ASN, city or subdivision; for a match that is not in a file, the path of the
// match.
func (m *Match) Term(kind string, value any) MatchTerm {
	text := fmt.Sprint(value)
	for _, t := range m.Terms {
		if t.Kind == kind && t.Value == text {
			return t
		}
	}
	return MatchTerm{Kind: kind, Value: text, Text: kind + " " + text, Pos: m.Pos}
}

// String returns the terms of the match in a canonical order: equal matches have equal strings.
func (m *Match) String() string {
	if m.Default {
		return byDefault
	}
	var texts []string
	texts = appendTerms(texts, "network", m.Networks)
	texts = appendTerms(texts, "asn", m.ASNs)
	for _, city := range m.Cities {
		texts = append(texts, "city "+strconv.Quote(city)) // the name may have a comma
	}
	texts = appendTerms(texts, "subdivision", m.Subdivisions)
	texts = appendTerms(texts, "country", m.Countries)
	texts = appendTerms(texts, "group", m.Groups)
	texts = appendTerms(texts, "continent", m.Continents)
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

func appendTerms[T any](texts []string, what string, values []T) []string {
	for _, value := range values {
		texts = append(texts, fmt.Sprintf("%s %v", what, value))
	}
	return texts
}

// The kinds of terms that only a database can verify.
const (
	termASN         = "asn"
	termCity        = "city"
	termSubdivision = "subdivision"
)

// term is one value of a member's match, with its position.
type term struct {
	key  string // equal for equal terms
	text string // country DE
	at   nodeKey
}

func (r *poolReader) term(t term) {
	r.written[t.key] = true
	r.matched = append(r.matched, t)
}

// terms reads one value, or a list of them.
func terms[T comparable](r *poolReader, what string, to *[]T, parse func(*yaml.Node) (T, bool)) setter {
	one := func(n *yaml.Node, index string) {
		value, ok := parse(n)
		if !ok {
			return
		}
		key := fmt.Sprintf("%s %v", what, value)
		t := term{key, key, nodeKeyOf(n)}
		if what == termCity {
			where, name, _ := strings.Cut(n.Value, "/")
			t.text = what + " " + strings.ToUpper(where) + "/" + name // as written
		}
		if r.written[key] {
			r.errorf(n, t.text+" twice", "write it once")
			return
		}
		*to = append(*to, value)
		r.term(t)
		switch what {
		case termASN, termCity, termSubdivision:
			r.terms = append(r.terms, MatchTerm{what, fmt.Sprint(value), t.text, "." + what + index, posOf(n)})
			r.databaseTerms = append(r.databaseTerms, databaseTerm{what, t.at})
		}
	}
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			one(n, "")
			return
		}
		for i, item := range n.Content {
			one(item, fmt.Sprintf("[%d]", i))
		}
		if len(n.Content) == 0 {
			r.errorAtKey(n, "an empty list", "write at least one value, or leave the key out")
		}
	}
}

// matchNetwork reads a network as a value; prefix reads one as a key.
func (r *poolReader) matchNetwork(n *yaml.Node) (netip.Prefix, bool) {
	if _, ok := r.scalar(n); !ok {
		return netip.Prefix{}, false
	}
	return r.prefix(n)
}

func (r *poolReader) asn(n *yaml.Node) (uint32, bool) {
	if s, ok := r.scalar(n); ok && len(s) > 2 && strings.EqualFold(s[:2], "AS") && decimal(s[2:]) {
		r.errorf(n, quote(s)+" is not a number", "write it as "+s[2:])
		return 0, false
	}
	number, ok := r.integer(n, 1, maxASN)
	return uint32(number), ok
}

// city reads a country or subdivision, a slash and the English name of a city there, ignoring case.
func (r *poolReader) city(n *yaml.Node) (string, bool) {
	s, ok := r.scalar(n)
	if !ok {
		return "", false
	}
	where, name, _ := strings.Cut(s, "/")
	if !(len(where) == 2 && letters(where) || isSubdivision(where)) || name == "" || strings.TrimSpace(name) != name {
		r.errorf(n, quote(s)+" is not a city", "write its country or subdivision and its English name, such as FR/Paris or US-CA/San Jose")
		return "", false
	}
	return strings.ToUpper(where) + "/" + strings.ToLower(name), r.knownCountry(n, strings.ToUpper(where[:2]))
}

func (r *poolReader) group(n *yaml.Node) (string, bool) {
	name := ""
	r.refer(kindGroup, &name)(n)
	if name != "" {
		r.groupUses = append(r.groupUses, groupUse{pool: r.pool.Name, group: name, at: nodeKeyOf(n)})
	}
	return name, name != ""
}

// groupUse is a group of countries in a match with all its terms.
type groupUse struct {
	pool, group, match string
	at                 nodeKey
}

// firstMatch is the first match with a term.
type firstMatch struct{ match, member string }

// checkConflicts compares the match of the current member with those before it; its groups begin at uses of groupUses.
// Members with the same match share its clients by weight; a term in two different matches would leave it open which
// member gets its clients.
func (r *poolReader) checkConflicts(n *yaml.Node, uses int) {
	match := ""
	if r.member.Match != nil {
		match = r.member.Match.String()
	}
	for i := uses; i < len(r.groupUses); i++ {
		r.groupUses[i].match = match
	}
	r.warnSameMatch(n, match)
	for _, t := range r.matched {
		first, twice := r.firstWithTerm[t.key]
		if !twice {
			r.firstWithTerm[t.key] = firstMatch{match, r.member.Name}
		} else if first.match != match {
			r.errorAt(t.at, t.text+" is in the match of member "+quote(first.member)+" too",
				"leave it in one of them, or give both the same match to share its clients by weight")
		}
	}
}

// warnSameMatch warns of a match that another member also has, unless weights show that this is intended.
func (r *poolReader) warnSameMatch(n *yaml.Node, match string) {
	if match == "" {
		return
	}
	weighs := yamldoc.Child(n, "weight") != nil
	first, twice := r.firstWithMatch[match]
	switch {
	case !twice:
		r.firstWithMatch[match] = memberUse{r.member.Name, weighs}
	case !weighs || !first.hasWeight:
		r.warn(yamldoc.Child(n, "match"), "member "+quote(first.member)+" has the same match: they share its clients by weight",
			"write the weight of each if that is intended")
	}
}

// memberUse records the first member with a match, and whether it sets a weight.
type memberUse struct {
	member    string
	hasWeight bool
}

// countryGroups reads geo.groups.
func (d *decoder) countryGroups(to *[]CountryGroup) setter {
	return d.define(kindGroup, func(name string, key, value *yaml.Node) {
		g := CountryGroup{Name: name, Pos: posOf(key)}
		ok := d.list(value, func(item *yaml.Node) {
			code, ok := d.country(item)
			switch {
			case !ok:
			case slices.Contains(g.Countries, code):
				d.errorf(item, "country "+code+" twice", "write it once")
			default:
				g.Countries = append(g.Countries, code)
			}
		})
		if ok && len(value.Content) == 0 {
			d.errorAtKey(value, "an empty list", "write at least one country")
		}
		*to = append(*to, g)
	})
}

// databaseTerm is a value of a match that a database must know.
type databaseTerm struct {
	kind string
	at   nodeKey
}

// checkMatches reports matches that cannot work: values without a source that could know them, and overlapping groups in
// one pool where neither contains the other.
func (d *decoder) checkMatches(g *Geo) {
	d.checkMatchSources(g)
	groups := make(map[string]*CountryGroup, len(g.Groups))
	for i := range g.Groups {
		groups[g.Groups[i].Name] = &g.Groups[i]
	}
	for i, use := range d.groupUses {
		for j := i - 1; j >= 0 && d.groupUses[j].pool == use.pool; j-- {
			before := d.groupUses[j]
			country, ok := overlapHint(groups[before.group], groups[use.group])
			if ok && before.match != use.match {
				d.errorAt(use.at, fmt.Sprintf("country %s is in group %s and in group %s, which another member matches", country, quote(use.group), quote(before.group)),
					"of two groups in one pool that share a country, one is inside the other")
			}
		}
	}
}

// checkMatchSources reports values that no source can know; package geo looks for those that the configured sources do not know.
func (d *decoder) checkMatchSources(g *Geo) {
	subdivided := slices.ContainsFunc(g.Networks, func(n Network) bool { return n.Subdivision != "" })
	for _, s := range d.databaseTerms {
		switch {
		case s.kind == termASN && g.ASN == "":
			d.errorAt(s.at, "asn without geo.asn", "name an ASN file in MaxMind's format under geo.asn")
		case s.kind == termCity && g.Database == "":
			d.errorAt(s.at, "no source knows cities", "name a City database under geo.database")
		case s.kind == termSubdivision && g.Database == "" && !subdivided:
			d.errorAt(s.at, "no source knows subdivisions", "name a City database under geo.database, or place networks by subdivision under geo.networks")
		}
	}
}

// overlapHint returns a country that is in both groups if neither group contains the other.
func overlapHint(a, b *CountryGroup) (country string, ok bool) {
	if a == nil || b == nil || a == b {
		return "", false
	}
	shared := 0
	for _, c := range a.Countries {
		if slices.Contains(b.Countries, c) {
			country = c
			shared++
		}
	}
	inside := shared == min(len(a.Countries), len(b.Countries)) && len(a.Countries) != len(b.Countries)
	return country, shared > 0 && !inside
}
