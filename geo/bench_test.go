package geo

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"

	"meridian/config"
)

// cityFile opens a database of the size of GeoLite2-City, which is too large to check in; bench/README.md explains
// how to make one.
func cityFile(tb testing.TB) string {
	file := os.Getenv("MERIDIAN_CITY_MMDB")
	if file == "" {
		tb.Skip("SKIPPED: set MERIDIAN_CITY_MMDB to a City database to measure with it")
	}
	return file
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
		t, err := l.compileTable(cities(n))
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

// benchmarkLookup compares the lookup while the nearest region is up with the lookup when it is not.
func benchmarkLookup(b *testing.B, l *Locator, clients []netip.Addr) {
	t, err := l.Table(cities(8))
	if err != nil {
		b.Fatal(err)
	}
	var sink int
	i := 0
	b.Run("nearest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			region, scope := t.Nearest(clients[i&(len(clients)-1)])
			sink += int(region) + int(scope)
			i++
		}
	})
	b.Run("ranking", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			leaf := t.Lookup(clients[i&(len(clients)-1)])
			sink += int(t.Ranking(leaf)[1]) + int(t.Scope(leaf, 1))
			i++
		}
	})
	_ = sink
}

// clientsV4 returns random addresses; clientsV6 returns random addresses of the allocated space.
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

// BenchmarkWalk compares this package's walk of the search tree with the library's iterator.
func BenchmarkWalk(b *testing.B) {
	db, err := openDatabase(cityFile(b))
	if err != nil {
		b.Fatal(err)
	}
	defer db.close()
	var down func(r record, v4 bool) int
	down = func(r record, v4 bool) int {
		if !db.isNode(r) || !v4 && db.alias(r) {
			return 1
		}
		x, y := db.split(r)
		return down(x, v4) + down(y, v4)
	}
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			down(db.v4, true)
			down(db.v6, false)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			for range db.reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
			}
		}
	})
}
