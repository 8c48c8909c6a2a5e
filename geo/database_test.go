package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"

	"meridian/config"
)

func TestLocateBySchema(t *testing.T) {
	network := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
	file := writer{kind: "Test"}
	nestedFile := file.file(t,
		row{"198.51.100.0/24", cityRecord("US", "CA", "Oakland", 37.8, -122.27)},
		row{"2001:db8::/33", cityRecord("DE", "BE", "Berlin", 52.5, 13.4)},
		row{"203.0.113.0/25", countryRecord("EU", "FR")},
		row{"203.0.113.128/25", mmdbtype.Map{"continent": mmdbtype.Map{"code": mmdbtype.String("AF")}}},
		row{"192.0.2.0/25", cityRecord("NL", "", "", 0, 0)},
		row{"192.0.2.128/26", cityRecord("NL", "", "", 91, 0)},
	)
	flatFile := file.file(t,
		row{"198.51.100.0/24", mmdbtype.Map{
			"country_code": mmdbtype.String("gb"), "state1": mmdbtype.String("England"), "city": mmdbtype.String("Leeds"),
			"latitude": mmdbtype.String("53.8"), "longitude": mmdbtype.String("-1.55"),
		}},
		row{"2001:db8::/33", mmdbtype.Map{
			"country_code": mmdbtype.String("JP"), "city": mmdbtype.String(""),
			"latitude": mmdbtype.Float32(35.5), "longitude": mmdbtype.Float64(139.5),
		}},
		row{"203.0.113.0/25", mmdbtype.Map{"country_code": mmdbtype.String("FR")}},
		row{"192.0.2.0/25", mmdbtype.Map{
			"country_code": mmdbtype.String("NL"), "latitude": mmdbtype.String(""), "longitude": mmdbtype.String(""),
		}},
		row{"192.0.2.128/26", mmdbtype.Map{
			"country_code": mmdbtype.String("NL"), "latitude": mmdbtype.Float32(0), "longitude": mmdbtype.Float32(0),
		}},
	)
	a, err := parseCentroids(placesTSV)
	if err != nil {
		t.Fatal(err)
	}
	centre := func(code, prefix string) Location {
		at, _ := a.country(code)
		at.From, at.Network = "database", network(prefix)
		return at
	}
	africa := a.continents["AF"]
	for _, c := range []struct {
		name, file, addr string
		want             Location
	}{
		{"nested city", nestedFile, "198.51.100.7", Location{
			Continent: "NA", Country: "US", Subdivision: "US-CA", City: "Oakland",
			Lat: 37.8, Lon: -122.27, From: "database", Network: network("198.51.100.0/24"),
		}},
		{"IPv4-mapped", nestedFile, "::ffff:198.51.100.7", Location{
			Continent: "NA", Country: "US", Subdivision: "US-CA", City: "Oakland",
			Lat: 37.8, Lon: -122.27, From: "database", Network: network("198.51.100.0/24"),
		}},
		{"nested city, IPv6", nestedFile, "2001:db8::1", Location{
			Continent: "EU", Country: "DE", Subdivision: "DE-BE", City: "Berlin",
			Lat: 52.5, Lon: 13.4, From: "database", Network: network("2001:db8::/33"),
		}},
		{"nested country without coordinates", nestedFile, "203.0.113.1", centre("FR", "203.0.113.0/25")},
		{"nested continent alone", nestedFile, "203.0.113.200", Location{
			Continent: "AF", Lat: africa.Lat, Lon: africa.Lon, From: "database", Network: network("203.0.113.128/25"),
		}},
		{"nested 0,0", nestedFile, "192.0.2.1", centre("NL", "192.0.2.0/25")},
		{"nested, not on Earth", nestedFile, "192.0.2.129", centre("NL", "192.0.2.128/26")},
		{"flat city, coordinates as strings", flatFile, "198.51.100.7", Location{
			Continent: "EU", Country: "GB", City: "Leeds",
			Lat: 53.8, Lon: -1.55, From: "database", Network: network("198.51.100.0/24"),
		}},
		{"flat city, coordinates as floats", flatFile, "2001:db8::1", Location{
			Continent: "AS", Country: "JP",
			Lat: 35.5, Lon: 139.5, From: "database", Network: network("2001:db8::/33"),
		}},
		{"flat country", flatFile, "203.0.113.1", centre("FR", "203.0.113.0/25")},
		{"flat, empty coordinates", flatFile, "192.0.2.1", centre("NL", "192.0.2.0/25")},
		{"flat 0,0", flatFile, "192.0.2.129", centre("NL", "192.0.2.128/26")},
	} {
		l := openWith(t, config.Geo{Database: c.file}, cities(3))
		if got := l.Locate(addrOf(c.addr)); got != c.want {
			t.Errorf("%s:\n%+v, want\n%+v", c.name, got, c.want)
		}
	}
}

func TestDatabaseOfOneFamilyUsesBuiltinForOther(t *testing.T) {
	for _, ip := range []int{4, 6} {
		prefix, in, out := "193.0.0.0/16", "193.0.6.139", "2001:67c:2e8:22::1"
		if ip == 6 {
			prefix, in, out = "2001:67c::/32", out, in
		}
		file := writer{kind: "Test", ip: ip}.file(t, row{prefix, countryRecord("OC", "FJ")})
		l := openWith(t, config.Geo{Database: file}, cities(2))
		if at := l.Locate(addrOf(in)); at.From != "database" || at.Country != "FJ" {
			t.Errorf("IPv%d: %s stands at %+v", ip, in, at)
		}
		if at := l.Locate(addrOf(out)); at.From != "built-in" || at.Country != "NL" {
			t.Errorf("IPv%d: %s stands at %+v", ip, out, at)
		}
	}
}

// MaxMind's copies of IPv4 under 6to4 and Teredo do not apply to IPv6.
func TestAliasesOfIPv4AreNotIPv6(t *testing.T) {
	file := writer{kind: "Test", alias: true}.file(t, row{"0.0.0.0/0", countryRecord("OC", "FJ")}, row{"2001:db8::/32", countryRecord("EU", "DE")},
		row{"198.51.100.0/24", countryRecord("NA", "US")})
	l := openWith(t, config.Geo{Database: file}, cities(2))
	for _, addr := range []string{"2002:c633:6401::1", "2001:0:c633:6401::", "::198.51.100.1"} {
		if at := l.Locate(addrOf(addr)); at.From == "database" {
			t.Errorf("%s stands at %+v", addr, at)
		}
	}
	if at := l.Locate(addrOf("::ffff:198.51.100.1")); at.Country != "US" {
		t.Errorf("mapped address stands at %+v", at)
	}
}

// The walk here and the library's iterator must find the same networks.
func TestFindAgreesWithTheLibrary(t *testing.T) {
	rows := []row{{"0.0.0.0/0", asnRecord(1)}, {"2000::/3", asnRecord(2)}}
	for i := range 64 {
		rows = append(rows,
			row{fmt.Sprintf("%d.%d.0.0/%d", i*3, i, 16+i%16), asnRecord(uint32(i))},
			row{fmt.Sprintf("2001:%x::/%d", i*7, 33+i), asnRecord(uint32(i))})
	}
	for _, bits := range []int{24, 28, 32} {
		for _, ip := range []int{4, 6} {
			rows := rows
			if ip == 4 {
				rows = v4Only(rows)
			}
			db, err := newDatabase(writer{kind: "Test", bits: bits, ip: ip}.bytes(t, rows...))
			if err != nil {
				t.Fatal(err)
			}
			set, err := db.offsets()
			if err != nil {
				t.Fatal(err)
			}
			for res := range db.reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
				p := unmapPrefix(res.Prefix())
				k, v4 := keyOf(p.Addr())
				offset, depth, ok := db.find(k, v4)
				if ok != res.Found() || k.prefix(v4, depth) != p {
					t.Errorf("%d bits, IPv%d: %s found %t at depth %d", bits, ip, p, ok, depth)
				}
				if ok && (uintptr(offset) != res.Offset() || int(set.number(offset)) >= set.len()) {
					t.Errorf("%d bits, IPv%d: %s at offset %d, want %d", bits, ip, p, offset, res.Offset())
				}
			}
		}
	}
}

func (s *offsets) len() int {
	n := 0
	s.each(func(uint32) bool { n++; return true })
	return n
}

func v4Only(rows []row) []row {
	var out []row
	for _, r := range rows {
		if netip.MustParsePrefix(r.prefix).Addr().Is4() {
			out = append(out, r)
		}
	}
	return out
}

func TestBadFilesAreErrors(t *testing.T) {
	good := writer{kind: "Test"}.bytes(t, row{"198.51.100.0/24", cityRecord("US", "CA", "Oakland", 37.8, -122.27)})
	asn := writer{kind: "Example-ASN"}.bytes(t, row{"198.51.100.0/24", asnRecord(64500)})
	missing := filepath.Join(t.TempDir(), "missing.mmdb")
	for _, c := range []struct{ name, key, file, want string }{
		{"missing", "geo.database", missing, "cannot be read: no such file or directory"},
		{"directory", "geo.database", t.TempDir(), "is a directory"},
		{"device", "geo.database", os.DevNull, "is not a regular file"},
		{"empty", "geo.database", store(t, nil), "is empty"},
		{"text", "geo.database", store(t, []byte(strings.Repeat("hello\n", 1000))), "is not in MaxMind's format"},
		{"cut off", "geo.database", store(t, good[:len(good)/2]), "is not in MaxMind's format"},
		{"without its head", "geo.database", store(t, good[300:]), ""},
		{"of another kind", "geo.database", store(t, asn), `has no country and no location for any network (its type is "Example-ASN")`},
		{"in circles", "geo.database", store(t, circular(t)), "its search tree is not a tree"},
		{"missing", "geo.asn", missing, "cannot be read"},
		{"of another kind", "geo.asn", store(t, good), "has no autonomous system for any network"},
	} {
		cfg := &config.Config{File: "m.yaml", Regions: cities(2)}
		pos := config.Pos{Line: 7, Column: 3}
		if c.key == "geo.asn" {
			cfg.Geo = config.Geo{ASN: c.file, ASNPos: pos}
		} else {
			cfg.Geo = config.Geo{Database: c.file, DatabasePos: pos}
		}
		l, err := Open(cfg)
		if err == nil {
			_, err = l.Table(cfg.Regions)
		}
		fault, ok := errors.AsType[config.Error](err)
		if !ok || fault.Pos != pos || fault.Path != c.key || fault.Hint == "" ||
			!strings.HasPrefix(fault.What, fmt.Sprintf("%q ", c.file)) || !strings.Contains(fault.What, c.want) {
			t.Errorf("%s %s: %v", c.key, c.name, err)
		}
	}
}

// circular builds a database with a search tree that leads back to its root.
func circular(tb testing.TB) []byte {
	tb.Helper()
	data := writer{kind: "Test"}.bytes(tb, row{"198.51.100.0/24", countryRecord("EU", "DE")}, row{"8000::/1", countryRecord("EU", "FR")})
	db, err := newDatabase(data)
	if err != nil {
		tb.Fatal(err)
	}
	for n := range db.nodes { // records without data now lead to the root
		for half := range 2 {
			at := data[int(n)*6+3*half:][:3]
			if record(at[0])<<16|record(at[1])<<8|record(at[2]) == record(db.nodes) {
				copy(at, []byte{0, 0, 0})
			}
		}
	}
	return data
}

func TestOpenReportsAllErrors(t *testing.T) {
	_, err := Open(&config.Config{File: "m.yaml", Regions: cities(1), Geo: config.Geo{
		Database: "a.mmdb", DatabasePos: config.Pos{Line: 2, Column: 1},
		ASN: "b.mmdb", ASNPos: config.Pos{Line: 3, Column: 1},
		Networks: []config.Network{
			{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Country: "QQ", Pos: config.Pos{Line: 4, Column: 1}},
			{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Region: "moon", Pos: config.Pos{Line: 5, Column: 1}},
			{Prefix: netip.MustParsePrefix("11.0.0.0/8"), Continent: "XX", Pos: config.Pos{Line: 6, Column: 1}},
			{Prefix: netip.MustParsePrefix("12.0.0.0/8"), Subdivision: "QQ-1", Pos: config.Pos{Line: 7, Column: 1}},
		},
	}})
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines, want 6:\n%v", len(lines), err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf("m.yaml:%d:1: geo.", i+2)) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

func TestLocateReturnsASN(t *testing.T) {
	file := writer{kind: "Example-ASN"}.file(t, row{"193.0.0.0/16", asnRecord(3333)}, row{"2001:67c::/32", asnRecord(3333)})
	l := openWith(t, config.Geo{ASN: file}, cities(2))
	for addr, want := range map[string]uint32{"193.0.6.139": 3333, "::ffff:193.0.6.139": 3333, "2001:67c::1": 3333, "8.8.8.8": 0, "10.1.1.1": 0} {
		if got := l.Locate(addrOf(addr)).ASN; got != want {
			t.Errorf("%s: AS%d, want AS%d", addr, got, want)
		}
	}
}

// FuzzDatabase changes bytes of a valid file. Opening, compiling and lookups then end in an error or an answer, soon.
func FuzzDatabase(f *testing.F) {
	sound := [][]byte{
		writer{kind: "Test", alias: true}.bytes(f, row{"198.51.100.0/24", cityRecord("US", "CA", "Oakland", 37.8, -122.27)},
			row{"203.0.113.0/25", countryRecord("EU", "FR")}, row{"2001:db8::/33", cityRecord("DE", "BE", "Berlin", 52.5, 13.4)}),
		writer{kind: "Test", bits: 28}.bytes(f, row{"198.51.100.0/24", mmdbtype.Map{
			"country_code": mmdbtype.String("GB"), "latitude": mmdbtype.String("53.8"), "longitude": mmdbtype.Float32(-1.55),
		}}),
		writer{kind: "Test", bits: 32, ip: 4}.bytes(f, row{"198.51.100.0/24", countryRecord("EU", "FR")}),
	}
	for i := range sound {
		f.Add(uint8(i), uint16(0), uint16(0), []byte{}, uint16(0))
		f.Add(uint8(i), uint16(3), uint16(700), []byte{0xff, 0, 0x40}, uint16(0))
		f.Add(uint8(i), uint16(590), uint16(1), []byte{0, 0, 0, 0, 0, 0}, uint16(9))
	}
	f.Fuzz(func(t *testing.T, which uint8, at, step uint16, bytes []byte, cut uint16) {
		data := append([]byte(nil), sound[int(which)%len(sound)]...)
		for i, b := range bytes {
			data[(int(at)+i*int(step+1))%len(data)] = b
		}
		data = data[:len(data)-int(cut)%len(data)]
		l := &Locator{cfg: &config.Config{}, networks: &networks{}, builtin: &builtin{}}
		l.centroids, _ = parseCentroids(placesTSV)
		var err error
		if l.db, err = newDatabase(data); err != nil {
			return
		}
		l.databaseDigest, _ = l.db.digest()
		if _, err := l.gathered(); err != nil {
			return
		}
		if _, err := l.Table(cities(3)); err != nil {
			return
		}
		for _, addr := range []string{"198.51.100.1", "203.0.113.1", "2001:db8::1", "::", "255.255.255.255"} {
			l.Locate(addrOf(addr))
		}
	})
}
