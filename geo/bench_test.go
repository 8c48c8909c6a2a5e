package geo

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"meridian/config"
)

// cityFile is a database of the size of GeoLite2-City, which is too large to
// check in; docs/geo.md tells how to make one.
func cityFile(tb testing.TB) string {
	file := os.Getenv("MERIDIAN_CITY_MMDB")
	if file == "" {
		tb.Skip("SKIPPED: set MERIDIAN_CITY_MMDB to a City database to measure with it")
	}
	return file
}

// cities are regions spread as the clouds have them.
func cities(n int) []config.Region {
	all := []config.Region{
		{Name: "us-east", Location: config.Location{Lat: 39.04, Lon: -77.49}},
		{Name: "eu-west", Location: config.Location{Lat: 53.35, Lon: -6.26}, Bias: 10},
		{Name: "ap-south", Location: config.Location{Lat: 19.08, Lon: 72.88}},
		{Name: "us-west", Location: config.Location{Lat: 45.84, Lon: -119.70}},
		{Name: "ap-northeast", Location: config.Location{Lat: 35.68, Lon: 139.69}},
		{Name: "sa-east", Location: config.Location{Lat: -23.55, Lon: -46.63}},
		{Name: "ap-southeast", Location: config.Location{Lat: -33.87, Lon: 151.21}},
		{Name: "af-south", Location: config.Location{Lat: -33.92, Lon: 18.42}},
		{Name: "eu-central", Location: config.Location{Lat: 50.11, Lon: 8.68}},
		{Name: "eu-north", Location: config.Location{Lat: 59.33, Lon: 18.07}},
		{Name: "me-south", Location: config.Location{Lat: 26.07, Lon: 50.56}},
		{Name: "ca-central", Location: config.Location{Lat: 45.50, Lon: -73.57}},
		{Name: "us-central", Location: config.Location{Lat: 41.26, Lon: -95.86}},
		{Name: "ap-east", Location: config.Location{Lat: 22.32, Lon: 114.17}},
		{Name: "ap-se1", Location: config.Location{Lat: 1.35, Lon: 103.82}},
		{Name: "eu-south", Location: config.Location{Lat: 45.46, Lon: 9.19}},
	}
	return all[:n]
}

func openWith(tb testing.TB, geo config.Geo, regions []config.Region) *Locator {
	tb.Helper()
	if geo.Default == "" && len(regions) > 0 {
		geo.Default = regions[0].Name
	}
	l, err := Open(&config.Config{File: "m.yaml", Geo: geo, Regions: regions})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func BenchmarkOpenCity(b *testing.B) {
	file := cityFile(b)
	b.ReportAllocs()
	for b.Loop() {
		openWith(b, config.Geo{Database: file}, cities(8))
	}
}

func benchmarkTable(b *testing.B, geo config.Geo, n int) {
	l := openWith(b, geo, cities(n))
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		l.tables.made = nil
		t, err := l.Table(cities(n))
		if err != nil {
			b.Fatal(err)
		}
		bytes = t.Bytes()
	}
	b.ReportMetric(float64(bytes), "table-bytes")
}

func BenchmarkTableCity8(b *testing.B) {
	benchmarkTable(b, config.Geo{Database: cityFile(b)}, 8)
}

func BenchmarkTableCity16(b *testing.B) {
	benchmarkTable(b, config.Geo{Database: cityFile(b)}, 16)
}

func BenchmarkTableBuiltin8(b *testing.B) { benchmarkTable(b, config.Geo{}, 8) }

func benchmarkLookup(b *testing.B, l *Locator, clients []netip.Addr) {
	t, err := l.Table(cities(8))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var sink int
	i := 0
	for b.Loop() {
		leaf := t.Lookup(clients[i&(len(clients)-1)])
		sink += int(t.Ranking(leaf)[0]) + int(t.Scope(leaf, 0))
		i++
	}
	_ = sink
}

// clientsV4 are addresses at random; clientsV6 likewise in the space that is given out.
func clientsV4() []netip.Addr {
	all := make([]netip.Addr, 1<<16)
	for i := range all {
		v := rand.Uint32()
		all[i] = netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	}
	return all
}

func clientsV6() []netip.Addr {
	heads := []uint16{0x2001, 0x2400, 0x2600, 0x2601, 0x2603, 0x2804, 0x2a00, 0x2a01, 0x2a02, 0x2c0f}
	all := make([]netip.Addr, 1<<16)
	for i := range all {
		h, v := heads[rand.IntN(len(heads))], rand.Uint32()
		all[i] = netip.AddrFrom16([16]byte{byte(h >> 8), byte(h), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v), 15: 1})
	}
	return all
}

func BenchmarkLookupBuiltinV4(b *testing.B) {
	benchmarkLookup(b, openWith(b, config.Geo{}, cities(8)), clientsV4())
}

func BenchmarkLookupCityV4(b *testing.B) {
	benchmarkLookup(b, openWith(b, config.Geo{Database: cityFile(b)}, cities(8)), clientsV4())
}

func BenchmarkLookupCityV6(b *testing.B) {
	benchmarkLookup(b, openWith(b, config.Geo{Database: cityFile(b)}, cities(8)), clientsV6())
}
