package geo

import (
	"bytes"
	"cmp"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"meridian/config"
)

// row is a network of a database made for a test.
type row struct {
	prefix string
	record mmdbtype.Map
}

// writer builds databases in MaxMind's format.
type writer struct {
	kind  string // database_type
	ip    int    // 4 or 6; 6 by default
	bits  int    // of a record; 24 by default
	alias bool   // repeat IPv4 under 2002::/16 and similar prefixes, as MaxMind does
}

// bytes builds a database of the rows; later rows win.
func (w writer) bytes(tb testing.TB, rows ...row) []byte {
	tb.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch:              1,
		DatabaseType:            w.kind,
		DisableIPv4Aliasing:     !w.alias,
		IPVersion:               cmp.Or(w.ip, 6),
		RecordSize:              cmp.Or(w.bits, 24),
		IncludeReservedNetworks: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range rows {
		p := netip.MustParsePrefix(r.prefix)
		network := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
		if err := tree.Insert(network, r.record); err != nil {
			tb.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// file writes a database of the rows to disk.
func (w writer) file(tb testing.TB, rows ...row) string {
	tb.Helper()
	return store(tb, w.bytes(tb, rows...))
}

// store writes data to a new file.
func store(tb testing.TB, data []byte) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "test.mmdb")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// cityRecord returns a record as in MaxMind's City files.
func cityRecord(country, subdivision, city string, lat, lon float64) mmdbtype.Map {
	return mmdbtype.Map{
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String(country), "names": mmdbtype.Map{"en": mmdbtype.String("name of " + country)}},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(subdivision)}},
		"city":         mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(city), "de": mmdbtype.String("Stadt")}},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(lon), "time_zone": mmdbtype.String("UTC")},
	}
}

// countryRecord returns a record as in MaxMind's and DB-IP's Country files.
func countryRecord(continent, country string) mmdbtype.Map {
	return mmdbtype.Map{
		"continent": mmdbtype.Map{"code": mmdbtype.String(continent)},
		"country":   mmdbtype.Map{"iso_code": mmdbtype.String(country)},
	}
}

// asnRecord returns a record as in all ASN files.
func asnRecord(number uint32) mmdbtype.Map {
	return mmdbtype.Map{
		"autonomous_system_number":       mmdbtype.Uint32(number),
		"autonomous_system_organization": mmdbtype.String("Example"),
	}
}

// addrOf parses an address of a test.
func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }

// openWith opens a Locator that is closed with the test. The first region is the default unless geo names one.
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

// cities returns n regions, spread like cloud regions.
func cities(n int) []config.Region {
	region := func(name string, lat, lon float64, bias int) config.Region {
		return config.Region{Name: name, Location: config.Location{Lat: lat, Lon: lon}, Bias: bias}
	}
	return []config.Region{
		region("us-east", 39.04, -77.49, 0),
		region("eu-west", 53.35, -6.26, 10),
		region("ap-south", 19.08, 72.88, 0),
		region("us-west", 45.84, -119.70, 0),
		region("ap-northeast", 35.68, 139.69, 0),
		region("sa-east", -23.55, -46.63, -20),
		region("ap-southeast", -33.87, 151.21, 0),
		region("af-south", -33.92, 18.42, 0),
		region("eu-central", 50.11, 8.68, 0),
		region("eu-north", 59.33, 18.07, 0),
		region("me-south", 26.07, 50.56, 0),
		region("ca-central", 45.50, -73.57, 0),
		region("us-central", 41.26, -95.86, 0),
		region("ap-east", 22.32, 114.17, 0),
		region("ap-southeast-2", 1.35, 103.82, 0),
		region("eu-south", 45.46, 9.19, 0),
	}[:n]
}
