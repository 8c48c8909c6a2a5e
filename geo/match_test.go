package geo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"meridian/config"
)

// matchWorld is a world with an ASN file and matches. Each term is in at most one match.
type matchWorld struct {
	world
	systems []row
	matches []config.Match
	groups  []config.CountryGroup
}

func newMatchWorld(r *rand.Rand) matchWorld {
	w := matchWorld{world: newWorld(r)}
	for i := range 1 + r.IntN(6) {
		w.database = append(w.database, row{somePrefix(r).String(), cityRecord("US", []string{"CA", "NY"}[i%2], []string{"", "Salem", "SALEM", "Troy"}[r.IntN(4)], float64(i)+0.5, 1)})
	}
	for range r.IntN(12) {
		w.systems = append(w.systems, row{somePrefix(r).String(), mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500 + r.IntN(4))}})
	}
	w.groups = []config.CountryGroup{{Name: "south", Countries: []string{"AU", "BR", "ZA"}}, {Name: "far", Countries: []string{"AU", "ZA"}}}
	w.matches = make([]config.Match, 1+r.IntN(6))
	some := func() *config.Match { return &w.matches[r.IntN(len(w.matches))] }
	used := map[netip.Prefix]bool{}
	for range r.IntN(12) {
		if p := somePrefix(r); !used[p] {
			used[p] = true
			m := some()
			m.Networks = append(m.Networks, p)
		}
	}
	for _, asn := range []uint32{64500, 64501, 64502} {
		if len(w.systems) > 0 && r.IntN(2) == 0 {
			m := some()
			m.ASNs = append(m.ASNs, asn)
		}
	}
	for list, codes := range map[*config.Match][]string{some(): {"DE", "US"}, some(): {"JP"}} {
		list.Countries = append(list.Countries, codes...)
	}
	w.database = append(w.database, row{"192.0.3.0/24", cityRecord("US", "CA", "Salem", 1, 1)}) // otherwise matching CA or a city would be an error
	for _, city := range []string{"US-CA/salem", "US/salem", "US-NY/troy"} {
		if r.IntN(2) == 0 {
			m := some()
			m.Cities = append(m.Cities, city)
		}
	}
	if r.IntN(2) == 0 {
		m := some()
		m.Subdivisions = append(m.Subdivisions, "US-CA")
	}
	for _, g := range []string{"south", "far"} {
		m := some()
		m.Groups = append(m.Groups, g)
	}
	m := some()
	m.Continents = append(m.Continents, "EU", "NA")
	if r.IntN(2) == 0 {
		w.matches = append(w.matches, config.Match{Default: true})
	}
	return w
}

func (w matchWorld) open(t *testing.T) *Locator {
	l := w.world.open(t)
	l.cfg.Geo.Groups, l.cities = w.groups, true
	if len(w.systems) > 0 {
		db, err := newDatabase(writer{kind: "Test-ASN"}.bytes(t, w.systems...))
		if err != nil {
			t.Fatal(err)
		}
		l.asn = &asnFile{db}
	}
	return l
}

func (w matchWorld) corners() []netip.Addr {
	all := w.world.corners()
	add := func(p netip.Prefix) { all = append(all, cornersOf(p)...) }
	for _, m := range w.matches {
		for _, p := range m.Networks {
			add(p)
		}
	}
	for _, s := range w.systems {
		add(netip.MustParsePrefix(s.prefix))
	}
	return all
}

// slowMatches returns the expected matches of addr, in a table with lists of n.
func slowMatches(l *Locator, matches []config.Match, addr netip.Addr, n int) decision {
	_, private := l.PrivateECS(addr)
	d := decision{private: private || addr.Is4In6()}
	for _, m := range l.Matching(addr, matches) {
		d.ranking = append(d.ranking, uint16(m.Index))
	}
	for len(d.ranking) < n {
		d.ranking = append(d.ranking, NoMatch)
	}
	return d
}

func TestMatchesAgreeWithMatching(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		w := newMatchWorld(r)
		l := w.open(t)
		table, err := l.Matches(w.matches)
		if err != nil {
			t.Fatal(err)
		}
		corners := w.corners()
		n := len(table.Ranking(table.Lookup(corners[0])))
		slow := map[netip.Addr]decision{}
		for _, a := range corners {
			slow[a] = slowMatches(l, w.matches, a, n)
		}
		for _, a := range corners {
			leaf, want := table.Lookup(a), slow[a].ranking
			if a.Is4In6() {
				want = slowMatches(l, w.matches, a.Unmap(), n).ranking
			}
			got := table.Ranking(leaf)
			if !slices.Equal(got, want) {
				t.Fatalf("%s matches %v, want %v (%v)", a, got, want, l.Matching(a, w.matches))
			}
			if first, scope := table.Nearest(a); first != got[0] || scope != table.Scope(leaf, 0) {
				t.Fatalf("%s: nearest %d with scope %d, want %d with %d", a, first, scope, got[0], table.Scope(leaf, 0))
			}
			if got[n-1] != NoMatch {
				t.Fatalf("%s: the list %v does not end", a, got)
			}
			if a.Is4In6() {
				continue
			}
			for k := range n {
				if got, want := int(table.Scope(leaf, k)), slowScope(slow, a, k, func(a netip.Addr) decision { return slowMatches(l, w.matches, a, n) }); got != want {
					t.Fatalf("scope %d of %s is %d, want %d", k, a, got, want)
				}
			}
		}
	}
}

func TestMostSpecificMatchFirst(t *testing.T) {
	l := openWith(t, config.Geo{
		Networks: []config.Network{
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Subdivision: "US-CA"},
			{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Country: "AT"},
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Continent: "EU"},
			{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Region: "us-east"},
		},
		Groups: []config.CountryGroup{{Name: "europe", Countries: []string{"DE", "AT", "FR"}}, {Name: "dach", Countries: []string{"DE", "AT"}}},
	}, cities(2))
	matches := []config.Match{
		0: {Default: true},
		1: {Continents: []string{"EU", "NA"}},
		2: {Groups: []string{"europe"}},
		3: {Groups: []string{"dach"}},
		4: {Countries: []string{"AT", "US"}},
		5: {Subdivisions: []string{"US-CA"}},
		6: {Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28"), netip.MustParsePrefix("10.0.0.0/8")}},
		7: {Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25")}, Continents: []string{"AS"}},
	}
	for addr, want := range map[string]string{
		"198.51.100.1":       "[{6 network 198.51.100.0/28} {7 network 198.51.100.0/25} {5 subdivision US-CA} {4 country US} {1 continent NA} {0 default}]",
		"198.51.100.200":     "[{5 subdivision US-CA} {4 country US} {1 continent NA} {0 default}]",
		"203.0.113.1":        "[{4 country AT} {3 group dach} {2 group europe} {1 continent EU} {0 default}]",
		"::ffff:203.0.113.1": "[{4 country AT} {3 group dach} {2 group europe} {1 continent EU} {0 default}]",
		"192.0.2.1":          "[{1 continent EU} {0 default}]",
		"10.1.1.1":           "[{6 network 10.0.0.0/8} {0 default}]", // a region is in no country
		"::1":                "[{0 default}]",
	} {
		if got := fmt.Sprint(l.Matching(addrOf(addr), matches)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// twinCities builds a database with cities of one name in several places.
func twinCities(t *testing.T) string {
	return writer{kind: "City"}.file(t,
		row{"198.51.100.0/26", cityRecord("US", "CA", "San Jose", 37.3, -121.9)},
		row{"198.51.100.64/26", cityRecord("US", "IL", "San Jose", 40.3, -89.6)},
		row{"198.51.100.128/26", cityRecord("US", "CA", "", 36.8, -119.8)},
		row{"203.0.113.0/24", cityRecord("FR", "IDF", "Paris", 48.9, 2.3)})
}

// openWithCities opens a Locator of a configuration with one match for these cities.
func openWithCities(t *testing.T, geo config.Geo, cities ...string) *Locator {
	t.Helper()
	match := &config.Match{Cities: append(cities, "US/san jose"), Pos: config.Pos{Line: 7, Column: 3}}
	l, err := Open(&config.Config{File: "m.yaml", Geo: geo, Pools: []config.Pool{{Name: "web", Members: []config.Member{{}, {Match: match}}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestCityRanksBetweenASNAndSubdivision(t *testing.T) {
	l := openWithCities(t, config.Geo{
		Database: twinCities(t),
		ASN:      writer{kind: "ASN"}.file(t, row{"198.51.100.0/28", asnRecord(64500)}),
	})
	matches := []config.Match{
		0: {Default: true},
		1: {Countries: []string{"US"}},
		2: {Subdivisions: []string{"US-CA"}},
		3: {Cities: []string{"US/san jose", "FR/paris"}},
		4: {Cities: []string{"US-CA/san jose"}},
		5: {ASNs: []uint32{64500}},
		6: {Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/30")}},
	}
	table, err := l.Matches(matches)
	if err != nil {
		t.Fatal(err)
	}
	const ofUS = "{1 country US} {0 default}]"
	for addr, want := range map[string]string{
		"198.51.100.1":   "[{6 network 198.51.100.0/30} {5 ASN 64500} {4 city US-CA/San Jose} {3 city US/San Jose} {2 subdivision US-CA} " + ofUS,
		"198.51.100.4":   "[{5 ASN 64500} {4 city US-CA/San Jose} {3 city US/San Jose} {2 subdivision US-CA} " + ofUS,
		"198.51.100.32":  "[{4 city US-CA/San Jose} {3 city US/San Jose} {2 subdivision US-CA} " + ofUS,
		"198.51.100.64":  "[{3 city US/San Jose} " + ofUS,
		"198.51.100.128": "[{2 subdivision US-CA} " + ofUS,
		"203.0.113.1":    "[{3 city FR/Paris} {0 default}]",
	} {
		found := l.Matching(addrOf(addr), matches)
		if got := fmt.Sprint(found); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
		if first, _ := table.Nearest(addrOf(addr)); int(first) != found[0].Index {
			t.Errorf("%s: the table has match %d first, want %d", addr, first, found[0].Index)
		}
	}
}

// A city name may look like several terms. Its table is still a different one.
func TestAmbiguousCitiesHaveSeparateTables(t *testing.T) {
	l := openWithCities(t, config.Geo{Database: twinCities(t)})
	one, err := l.Matches([]config.Match{{Cities: []string{"FR/paris, city us/san jose"}}})
	if err != nil {
		t.Fatal(err)
	}
	two, err := l.Matches([]config.Match{{Cities: []string{"FR/paris", "US/san jose"}}})
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("different matches share a table")
	}
}

func TestUnknownCitiesCauseWarnings(t *testing.T) {
	geo := config.Geo{Database: twinCities(t)}
	with := func(geo config.Geo, cities ...string) []config.Error {
		return openWithCities(t, geo, cities...).UnknownTerms()
	}
	for city, hint := range map[string]string{
		"US-CA/san jose":  "",
		"US/san jose":     "",
		"FR/pariss":       `did you mean "FR/Paris"?`,
		"US-IL/san josé":  `did you mean "US-IL/San Jose"?`,
		"US-NY/san jose":  `did you mean "US/San Jose"?`,
		"DE/berlin":       "write the English name as in the database, after the database's country or subdivision",
		"FR/buenos aires": "write the English name as in the database, after the database's country or subdivision",
	} {
		var got, want string
		for _, w := range with(geo, city) {
			got += w.Error()
		}
		if hint != "" {
			want = "m.yaml:7:3: pools.web.members[1].match: city " + city + ": no record of the database has it, so no client matches it; " + hint
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := with(config.Geo{}, "FR/paris"); got != nil { // an error of Matches
		t.Errorf("without cities: %v", got)
	}
}

func TestMatchesOfUnsupportedTermsAreErrors(t *testing.T) {
	l := openWith(t, config.Geo{}, cities(1))
	_, err := l.Matches([]config.Match{{Countries: []string{"DE"}}, {Subdivisions: []string{"US-CA", "DE-1"}}, {ASNs: []uint32{64500}}, {Cities: []string{"FR/paris", "DE/omsk"}}})
	faults, _ := errors.AsType[MatchErrors](err)
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprint(f.Match, ": ", f.Term.Text, ": ", f.What))
	}
	want := []string{
		"1: subdivision US-CA: no source knows subdivisions",
		"1: subdivision DE-1: no source knows subdivisions",
		"2: asn 64500: asn without geo.asn",
		"3: city FR/paris: no source knows cities",
		"3: city DE/omsk: no source knows cities",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A table of matches without places is divided only by private space and networks.
func TestMatchesWithoutPlacesSkipDatabase(t *testing.T) {
	l := openWith(t, config.Geo{}, cities(1))
	table, err := l.Matches([]config.Match{{Default: true}})
	if err != nil {
		t.Fatal(err)
	}
	if l.sources != nil {
		t.Error("the sources were read")
	}
	for addr, want := range map[string]uint8{"8.8.8.8": 7, "172.20.0.1": 12, "2001:db8::1": 3} {
		if got := table.Scope(table.Lookup(addrOf(addr)), 0); got != want {
			t.Errorf("%s: scope %d, want %d", addr, got, want)
		}
	}
}

func TestTooManyMatches(t *testing.T) {
	l := openWith(t, config.Geo{}, nil)
	if _, err := l.Matches(make([]config.Match, 65536)); err == nil {
		t.Error("no error")
	}
}
