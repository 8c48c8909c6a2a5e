package geo

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"meridian/config"
)

// Locators with the same networks, default and regions share a table; a difference in any of them makes another one.
func TestLocatorsShareTables(t *testing.T) {
	located := func(text string, lat float64) config.Network {
		return config.Network{Prefix: netip.MustParsePrefix(text), Location: &config.Location{Lat: lat, Lon: 7}}
	}
	open := func(c config.Geo, regions ...config.Region) (*Locator, *Table) {
		t.Helper()
		l := openWith(t, c, regions)
		table, err := l.Table(regions)
		if err != nil {
			t.Fatal(err)
		}
		return l, table
	}
	regions := slices.Clone(cities(3))
	entries := []config.Network{located("192.0.2.0/24", 1), located("198.51.100.0/24", 2)}
	_, first := open(config.Geo{Networks: entries}, regions...)
	for name, c := range map[string]config.Geo{
		"no networks":        {},
		"one network":        {Networks: entries[:1]},
		"another location":   {Networks: []config.Network{entries[0], located("198.51.100.0/24", 2.5)}},
		"another prefix":     {Networks: []config.Network{entries[0], located("198.51.100.0/25", 2)}},
		"another default":    {Networks: entries, Default: regions[1].Name},
		"swapped prefixes":   {Networks: []config.Network{located("192.0.2.0/24", 2), located("198.51.100.0/24", 1)}},
		"a country's centre": {Networks: []config.Network{entries[0], {Prefix: entries[1].Prefix, Country: "FR"}}},
	} {
		if _, table := open(c, regions...); table == first {
			t.Errorf("%s: shares the table of other inputs", name)
		}
	}
	if _, other := open(config.Geo{Networks: entries}, regions[:2]...); other == first {
		t.Error("other regions share the table")
	}
	if _, other := open(config.Geo{Networks: entries}, regions[1], regions[0], regions[2]); other == first {
		t.Error("another order of regions shares the table")
	}
	biased := slices.Clone(regions)
	biased[1].Bias += 5
	if _, other := open(config.Geo{Networks: entries}, biased...); other == first {
		t.Error("another bias shares the table")
	}
	l, same := open(config.Geo{Networks: entries, MaxAccuracyRadius: 50}, regions...)
	if same != first {
		t.Error("a Locator with equal inputs compiles its own table")
	}
	compiled, err := l.compileTable(regions)
	if err != nil {
		t.Fatal(err)
	}
	sameRankings(t, "a shared table", same, compiled, len(regions))
	runtime.KeepAlive(first)
}

// Locators share the tables of equal matches, too: countries of a group and areas of networks count.
func TestLocatorsShareTablesOfMatches(t *testing.T) {
	nordic := config.CountryGroup{Name: "nordic", Countries: []string{"SE", "NO"}}
	entry := config.Network{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Country: "SE"}
	matches := []config.Match{{Groups: []string{"nordic"}}, {Default: true}}
	tableOf := func(c config.Geo, matches []config.Match) *Table {
		t.Helper()
		table, err := openWith(t, c, nil).Matches(matches)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	first := tableOf(config.Geo{Networks: []config.Network{entry}, Groups: []config.CountryGroup{nordic}}, matches)
	moved := entry
	moved.Country = "NO"
	for name, c := range map[string]config.Geo{
		"a network in another country": {Networks: []config.Network{moved}, Groups: []config.CountryGroup{nordic}},
		"a larger group":               {Networks: []config.Network{entry}, Groups: []config.CountryGroup{{Name: "nordic", Countries: []string{"SE", "NO", "DK"}}}},
	} {
		if tableOf(c, matches) == first {
			t.Errorf("%s: shares the table", name)
		}
	}
	equal := config.Geo{Networks: []config.Network{entry}, Groups: []config.CountryGroup{nordic}}
	if tableOf(equal, []config.Match{{Default: true}, {Groups: []string{"nordic"}}}) == first {
		t.Error("another order of matches shares the table")
	}
	if tableOf(equal, matches) != first {
		t.Error("equal matches compile a table of their own")
	}
	runtime.KeepAlive(first)

	broken := []config.Match{{ASNs: []uint32{64500}}, {Default: true}} // there is no ASN file
	for range 2 {
		if table, err := openWith(t, equal, nil).Matches(broken); table != nil || err == nil {
			t.Errorf("a match that no client can have: table %v, error %v", table, err)
		}
	}
}

// sameRankings compares two tables of n regions for clients in all parts of the configuration.
func sameRankings(t *testing.T, name string, a, b *Table, n int) {
	t.Helper()
	for _, text := range []string{"192.0.2.1", "198.51.100.1", "198.51.100.200", "203.0.113.1", "10.0.0.1", "8.8.8.8", "2001:db8::1", "2a00::1", "::1"} {
		addr := netip.MustParseAddr(text)
		leafA, leafB := a.Lookup(addr), b.Lookup(addr)
		rankA, rankB := a.Ranking(leafA), b.Ranking(leafB)
		for i := range n {
			if rankA[i] != rankB[i] || a.Scope(leafA, i) != b.Scope(leafB, i) {
				t.Fatalf("%s: %s at %d: region %d, scope %d, want %d, %d", name, text, i, rankA[i], a.Scope(leafA, i), rankB[i], b.Scope(leafB, i))
			}
		}
	}
}

// Nothing keeps a table that no Locator uses, and nothing is left of it in the list.
func TestUnusedTablesAreFreed(t *testing.T) {
	regions := slices.Clone(cities(3))
	regions[0].Location.Lat = 12.345 // of no other test
	key := func() tableKey {
		l := openWith(t, config.Geo{}, regions)
		if _, err := l.Table(regions); err != nil {
			t.Fatal(err)
		}
		key := l.rankingKey(regions)
		if sharedTable(key) == nil {
			t.Fatal("a table in use is not shared")
		}
		l.tables.made, l.kept = nil, nil // the Locator itself lives until the test ends
		return key
	}()
	listed := func() bool {
		shared.Lock()
		defer shared.Unlock()
		_, ok := shared.tables[key]
		return ok
	}
	for end := time.Now().Add(time.Minute); listed(); runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("a table that nothing uses is still listed")
		}
		runtime.Gosched()
	}
}
