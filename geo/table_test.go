package geo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"meridian/config"
)

// world holds random sources of all kinds, small enough for the slow reference.
type world struct {
	regions  []config.Region
	fallback bool // there is a default region, the first
	networks []config.Network
	database []row
	homes    []home // the built-in table
}

// home is an entry of an invented built-in table.
type home struct {
	prefix  netip.Prefix
	country string
}

// newWorld makes prefixes close together, so that they nest and touch.
func newWorld(r *rand.Rand) world {
	w := world{fallback: r.IntN(4) > 0}
	for i := range 1 + r.IntN(6) {
		w.regions = append(w.regions, config.Region{
			Name:     fmt.Sprint("r", i),
			Location: config.Location{Lat: float64(r.IntN(120) - 60), Lon: float64(r.IntN(360) - 180)},
			Bias:     []int{0, 0, 0, 30, -30}[r.IntN(5)],
		})
	}
	codes := []string{"DE", "US", "JP", "BR", "AU", "ZA", "CA", "IN"}
	for range r.IntN(20) {
		n := config.Network{Prefix: somePrefix(r)}
		switch r.IntN(3) {
		case 0:
			n.Country = codes[r.IntN(len(codes))]
		case 1:
			n.Region = w.regions[r.IntN(len(w.regions))].Name
		case 2:
			n.Location = &config.Location{Lat: float64(r.IntN(180) - 90), Lon: float64(r.IntN(360) - 180)}
		}
		w.networks = append(w.networks, n)
	}
	for range r.IntN(30) {
		record := countryRecord("", codes[r.IntN(len(codes))])
		if r.IntN(2) == 0 {
			record = cityRecord("", "", "", float64(r.IntN(120)-60)+0.5, float64(r.IntN(360)-180))
		}
		w.database = append(w.database, row{somePrefix(r).String(), record})
	}
	for range r.IntN(30) {
		w.homes = append(w.homes, home{somePrefix(r), codes[r.IntN(len(codes))]})
	}
	return w
}

// somePrefix returns a network near the private ones, of either family.
func somePrefix(r *rand.Rand) netip.Prefix {
	heads := []string{"10.0.0.0", "11.0.0.0", "127.0.0.0", "172.16.0.0", "192.168.0.0", "192.169.0.0", "0.0.0.0", "198.51.100.0"}
	width := 32
	if r.IntN(2) == 0 {
		heads = []string{"::", "fc00::", "fe80::", "2001:db8::", "2001:db8:0:1::", "::ffff:0:0", "2001:db9::"}
		width = 128
	}
	addr := addrOf(heads[r.IntN(len(heads))]).AsSlice()
	for range r.IntN(6) {
		bit := r.IntN(width)
		addr[bit/8] ^= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(addr)
	p := netip.PrefixFrom(a, r.IntN(width+1)).Masked()
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return unmapPrefix(p)
	}
	return p
}

// open opens a Locator of the world.
func (w world) open(t *testing.T) *Locator {
	geo := config.Geo{Networks: w.networks, Default: "none"}
	if w.fallback {
		geo.Default = w.regions[0].Name
	}
	l := openWith(t, geo, w.regions)
	l.builtin = &builtin{}
	slices.SortStableFunc(w.homes, func(a, b home) int { return a.prefix.Bits() - b.prefix.Bits() })
	for i, h := range w.homes {
		l.builtin.countries = append(l.builtin.countries, h.country)
		k, v4 := keyOf(h.prefix.Addr())
		root := l.builtin.of(v4)
		*root = l.builtin.set(*root, k, 0, h.prefix.Bits(), ref(i+1))
	}
	if len(w.database) > 0 {
		db, err := newDatabase(writer{kind: "Test"}.bytes(t, w.database...))
		if err != nil {
			t.Fatal(err)
		}
		l.db = db
	}
	l.sources, l.databaseDigest = nil, uniqueDigest()
	return l
}

// uniqueDigest returns the digest of sources that no other test has.
func uniqueDigest() (d tableKey) {
	for i := range d {
		d[i] = byte(rand.Uint32())
	}
	return d
}

// corners returns the first and last addresses of all prefixes and their neighbours. The addresses between them cover
// every kind in the world.
func (w world) corners() []netip.Addr {
	prefixes := append(private(), mapped(),
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
		netip.MustParsePrefix("::/96")) // where a database has IPv4
	for _, n := range w.networks {
		prefixes = append(prefixes, n.Prefix)
	}
	for _, r := range w.database {
		prefixes = append(prefixes, netip.MustParsePrefix(r.prefix))
	}
	for _, h := range w.homes {
		prefixes = append(prefixes, h.prefix)
	}
	var all []netip.Addr
	for _, p := range prefixes {
		all = append(all, cornersOf(p)...)
	}
	return all
}

// cornersOf returns the first and last addresses of a prefix and their neighbours. Where a database has IPv4, it adds
// those of IPv4.
func cornersOf(p netip.Prefix) []netip.Addr {
	var all []netip.Addr
	first, last := p.Addr(), lastOf(p)
	for _, a := range []netip.Addr{first, last, first.Prev(), last.Next()} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	if in6 := netip.MustParsePrefix("::/96"); p.Bits() >= 96 && in6.Contains(first) {
		b := first.As16()
		all = append(all, cornersOf(netip.PrefixFrom(netip.AddrFrom4([4]byte(b[12:])), p.Bits()-96))...)
	}
	return all
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// decision is the expected result of a table for an address.
type decision struct {
	private bool // or IPv4 written as IPv6
	ranking []uint16
}

// decide is the slow, obvious reference: Locate, and a stable sort by distance.
func decide(l *Locator, regions []config.Region, addr netip.Addr) decision {
	_, private := l.PrivateECS(addr)
	d := decision{private: private || addr.Is4In6()}
	at := l.Locate(addr)
	for i := range regions {
		d.ranking = append(d.ranking, uint16(i))
	}
	if at.From != "" {
		slices.SortStableFunc(d.ranking, func(a, b uint16) int {
			km := func(i uint16) float64 {
				return Biased(Distance(config.Location{Lat: at.Lat, Lon: at.Lon}, regions[i].Location), regions[i].Bias)
			}
			return cmp.Compare(km(a), km(b))
		})
	}
	return d
}

// shares reports whether two decisions have the first n regions in common.
func (d decision) shares(e decision, n int) bool {
	return d.private == e.private && slices.Equal(d.ranking[:n], e.ranking[:n])
}

func TestTableAgreesWithSlowReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		w := newWorld(r)
		l := w.open(t)
		table, err := l.Table(w.regions)
		if err != nil {
			t.Fatal(err)
		}
		corners := w.corners()
		slow := map[netip.Addr]decision{}
		for _, a := range corners {
			slow[a] = decide(l, w.regions, a)
		}
		for _, a := range corners {
			leaf := table.Lookup(a)
			want := slow[a]
			if a.Is4In6() {
				want = decide(l, w.regions, a.Unmap())
			}
			if got := table.Ranking(leaf); !slices.Equal(got, want.ranking) {
				t.Fatalf("%s ranks %v, want %v", a, got, want.ranking)
			}
			if a.Is4In6() {
				continue // its scopes count within IPv4
			}
			if region, scope := table.Nearest(a); region != want.ranking[0] || scope != table.Scope(leaf, 0) {
				t.Fatalf("%s: nearest is region %d with scope %d, want %d with %d", a, region, scope, want.ranking[0], table.Scope(leaf, 0))
			}
			for k := range w.regions {
				if got, want := int(table.Scope(leaf, k)), slowScope(slow, a, k, func(a netip.Addr) decision { return decide(l, w.regions, a) }); got != want {
					t.Fatalf("scope %d of %s is %d, want %d", k, a, got, want)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

// slowScope tries every prefix around a, the shortest first, with every corner in it.
func slowScope(slow map[netip.Addr]decision, a netip.Addr, k int, decide func(netip.Addr) decision) int {
	for bits := range a.BitLen() {
		p, _ := a.Prefix(bits)
		alike := decide(p.Addr()).shares(slow[a], k+1)
		for b, d := range slow {
			if alike = alike && (!p.Contains(b) || d.shares(slow[a], k+1)); !alike {
				break
			}
		}
		if alike {
			return bits
		}
	}
	return a.BitLen()
}

func TestPrivateECS(t *testing.T) {
	l := openWith(t, config.Geo{Networks: []config.Network{
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Region: "us-east"},
		{Prefix: netip.MustParsePrefix("fd00::/8"), Country: "DE"},
	}}, cities(2))
	for addr, want := range map[string]int{ // -1: not private
		"10.0.0.1": 16, "10.1.0.1": -1, "10.2.0.1": 15, "10.128.0.1": 9, "::ffff:10.128.0.1": 9,
		"172.15.255.255": -1, "172.16.0.0": 12, "172.31.255.255": 12, "172.32.0.0": -1,
		"192.168.7.7": 16, "127.0.0.1": 8, "169.254.1.1": 16, "0.0.0.0": 32, "0.0.0.1": -1, "100.64.0.1": -1, "8.8.8.8": -1,
		"::": 127, "::1": 127, "::2": -1, "fc00::1": 8, "fd00::1": -1, "fe80::1": 10, "febf::": 10, "fec0::": -1, "2001:db8::1": -1,
	} {
		scope, private := l.PrivateECS(addrOf(addr))
		if private != (want >= 0) || private && scope != want {
			t.Errorf("%s: private %t, scope %d, want %d", addr, private, scope, want)
		}
	}
}

func TestNetworksHavePriority(t *testing.T) {
	at := config.Location{Lat: 1.5, Lon: 2.5}
	l := openWith(t, config.Geo{Networks: []config.Network{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Region: "eu-west"},
		{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Location: &at},
		{Prefix: netip.MustParsePrefix("193.0.0.0/16"), Country: "JP"},
		{Prefix: netip.MustParsePrefix("193.0.6.0/24"), Continent: "EU"},
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Subdivision: "US-CA"},
	}}, cities(2))
	us, jp, europe := l.centroids.countries["US"].centre, l.centroids.countries["JP"].centre, l.centroids.continents["EU"]
	for addr, want := range map[string]Location{
		"10.1.1.1":    {Lat: 53.35, Lon: -6.26, Network: netip.MustParsePrefix("10.0.0.0/8")},
		"10.9.1.1":    {Lat: 1.5, Lon: 2.5, Network: netip.MustParsePrefix("10.9.0.0/16")},
		"193.0.1.1":   {Continent: "AS", Country: "JP", Lat: jp.Lat, Lon: jp.Lon, Network: netip.MustParsePrefix("193.0.0.0/16")},
		"193.0.6.1":   {Continent: "EU", Lat: europe.Lat, Lon: europe.Lon, Network: netip.MustParsePrefix("193.0.6.0/24")},
		"2001:db8::1": {Continent: "NA", Country: "US", Subdivision: "US-CA", Lat: us.Lat, Lon: us.Lon, Network: netip.MustParsePrefix("2001:db8::/32")},
	} {
		want.From = "networks"
		if got := l.Locate(addrOf(addr)); got != want {
			t.Errorf("%s:\n%+v, want\n%+v", addr, got, want)
		}
	}
}

func TestDefaultRegionForUnknownClients(t *testing.T) {
	for addr, want := range map[string]Location{
		"10.1.1.1": {Lat: 53.35, Lon: -6.26, From: "default"},
		"::1":      {Lat: 53.35, Lon: -6.26, From: "default"},
		// The built-in table's source puts these two in a country.
		"172.16.0.1":  {Lat: 53.35, Lon: -6.26, From: "default"},
		"192.168.1.1": {Lat: 53.35, Lon: -6.26, From: "default"},
	} {
		l := openWith(t, config.Geo{Default: "eu-west"}, cities(3))
		table, err := l.Table(cities(3))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Locate(addrOf(addr)); got != want {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
		if got := table.Ranking(table.Lookup(addrOf(addr))); !slices.Equal(got, []uint16{1, 0, 2}) {
			t.Errorf("%s: ranking %v", addr, got)
		}
	}
}

func TestWithoutRegions(t *testing.T) {
	l := openWith(t, config.Geo{}, nil)
	if got := l.Locate(addrOf("10.1.1.1")); got != (Location{}) {
		t.Errorf("stands at %+v", got)
	}
	if got := l.Locate(addrOf("193.0.6.139")).Country; got != "NL" {
		t.Errorf("stands in %q", got)
	}
	table, err := l.Table(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Ranking(table.Lookup(addrOf("193.0.6.139"))); len(got) != 0 {
		t.Errorf("ranking %v", got)
	}
}

func TestTooManyRegions(t *testing.T) {
	l := openWith(t, config.Geo{}, nil)
	if _, err := l.Table(make([]config.Region, 65536)); err == nil {
		t.Error("no error")
	}
}

func TestEqualRegionsShareATable(t *testing.T) {
	l := openWith(t, config.Geo{}, cities(3))
	var all sync.WaitGroup
	made := make([]*Table, 8)
	for i := range made {
		all.Go(func() {
			regions := cities(3)
			regions[0].Name = fmt.Sprint("other", i) // names do not matter
			made[i], _ = l.Table(regions[:2+i%2])
		})
	}
	all.Wait()
	for i := range made {
		if made[i] == nil || made[i] != made[i%2] {
			t.Errorf("call %d got a table of its own", i)
		}
	}
	if made[0] == made[1] {
		t.Error("different regions share a table")
	}
	biased := cities(2)
	biased[0].Bias++
	if other, err := l.Table(biased); err != nil || other == made[0] {
		t.Error("another bias shares a table", err)
	}
}

func TestTableAfterCompiled(t *testing.T) {
	file := writer{kind: "Test"}.file(t, row{"193.0.0.0/16", cityRecord("FJ", "", "", -18, 178)})
	l := openWith(t, config.Geo{Database: file}, cities(4))
	before, err := l.Table(cities(4))
	if err != nil {
		t.Fatal(err)
	}
	l.ReleaseBuildData()
	after, err := l.Table(cities(3))
	if err != nil {
		t.Fatal(err)
	}
	for addr, country := range map[string]string{"193.0.6.139": "FJ", "8.8.8.8": "US"} {
		if got := l.Locate(addrOf(addr)).Country; got != country {
			t.Errorf("%s stands in %q, want %q", addr, got, country)
		}
	}
	fiji := addrOf("193.0.1.1")
	if got := after.Ranking(after.Lookup(fiji)); got[0] != 2 {
		t.Errorf("Fiji goes to %v", got)
	}
	if same, _ := l.Table(cities(4)); same != before {
		t.Error("a table was made twice")
	}
	if before.Bytes() < 1<<20 || before.Bytes() > 16<<20 {
		t.Errorf("table of %d bytes", before.Bytes())
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	l := openWith(t, config.Geo{}, cities(8))
	table, err := l.Table(cities(8))
	if err != nil {
		t.Fatal(err)
	}
	clients := []netip.Addr{addrOf("193.0.6.139"), addrOf("2001:67c:2e8::1"), addrOf("::ffff:8.8.8.8"), addrOf("10.1.1.1"), {}}
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		for _, a := range clients {
			leaf := table.Lookup(a)
			scope, private := l.PrivateECS(a)
			sum += int(table.Ranking(leaf)[0]) + int(table.Scope(leaf, 7)) + scope
			_ = private
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzLookup(f *testing.F) {
	for _, a := range []string{"193.0.6.139", "2001:67c:2e8::1", "::ffff:8.8.8.8", "10.1.1.1", "::", "255.255.255.255", "fe80::1"} {
		f.Add(addrOf(a).AsSlice())
	}
	l, err := Open(&config.Config{Regions: cities(5), Geo: config.Geo{Default: "us-east"}})
	if err != nil {
		f.Fatal(err)
	}
	table, err := l.Table(cities(5))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		leaf := table.Lookup(a)
		if got, want := table.Ranking(leaf), decide(l, cities(5), a).ranking; !slices.Equal(got, want) {
			t.Errorf("%s ranks %v, want %v", a, got, want)
		}
		if region, scope := table.Nearest(a); region != table.Ranking(leaf)[0] || scope != table.Scope(leaf, 0) {
			t.Errorf("%s: nearest is region %d with scope %d, want %d with %d", a, region, scope, table.Ranking(leaf)[0], table.Scope(leaf, 0))
		}
		for k := 1; k < 5; k++ {
			if table.Scope(leaf, k) < table.Scope(leaf, k-1) || int(table.Scope(leaf, k)) > a.Unmap().BitLen() {
				t.Errorf("%s has scopes %d and %d at %d", a, table.Scope(leaf, k-1), table.Scope(leaf, k), k)
			}
		}
	})
}
