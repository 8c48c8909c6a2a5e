package pools

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"meridian/config"
	"meridian/geo"
)

// place is a network of the small database.
type place struct {
	prefix, continent, country, subdivision string
	lat, lon                                float64
}

// smallWorld has all addresses, in few networks. Later rows win.
var smallWorld = []place{
	{"0.0.0.0/2", "NA", "US", "VA", 38.95, -77.45},
	{"64.0.0.0/2", "AS", "IN", "MH", 19.08, 72.88},
	{"128.0.0.0/2", "EU", "FR", "IDF", 48.86, 2.35},
	{"192.0.0.0/2", "SA", "BR", "SP", -23.55, -46.63},
	{"1.0.0.0/8", "OC", "AU", "NSW", -33.87, 151.21},
	{"8.8.0.0/16", "NA", "US", "CA", 37.39, -122.06},
	{"80.0.0.0/5", "EU", "DE", "BE", 52.52, 13.40},
	{"2001:4860::/32", "NA", "US", "CA", 37.39, -122.06},
	{"2a00::/12", "EU", "NL", "NH", 52.37, 4.90},
	{"2c00::/12", "AF", "ZA", "WC", -33.93, 18.42},
}

// smallDatabase returns the content of a City database of smallWorld.
var smallDatabase = sync.OnceValues(func() ([]byte, error) {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch: 1, DatabaseType: "Test-City", DisableIPv4Aliasing: true, IPVersion: 6, RecordSize: 24, IncludeReservedNetworks: true,
	})
	if err != nil {
		return nil, err
	}
	for _, p := range smallWorld {
		prefix := netip.MustParsePrefix(p.prefix)
		network := &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
		if err := tree.Insert(network, p.record()); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	_, err = tree.WriteTo(&b)
	return b.Bytes(), err
})

func (p place) record() mmdbtype.Map {
	code := func(code string) mmdbtype.Map { return mmdbtype.Map{"iso_code": mmdbtype.String(code)} }
	return mmdbtype.Map{
		"continent":    mmdbtype.Map{"code": mmdbtype.String(p.continent)},
		"country":      code(p.country),
		"subdivisions": mmdbtype.Slice{code(p.subdivision)},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(p.lat), "longitude": mmdbtype.Float64(p.lon), "accuracy_radius": mmdbtype.Uint16(10)},
	}
}

// openSmall opens a locator with the small database. A geolocation table of the built-in one takes
// longer to compile than most tests do.
func openSmall(t testing.TB, cfg *config.Config) *geo.Locator {
	t.Helper()
	holdBuiltin()
	content, err := smallDatabase()
	if err != nil {
		t.Fatal(err)
	}
	copied := *cfg
	copied.Geo.Database = filepath.Join(t.TempDir(), "small.mmdb")
	if err := os.WriteFile(copied.Geo.Database, content, 0o600); err != nil {
		t.Fatal(err)
	}
	where, err := geo.Open(&copied)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = where.Close() })
	return where
}

// holdBuiltin keeps the unpacked built-in table in memory, for all Locators of the tests to share.
var holdBuiltin = sync.OnceValue(func() *geo.Locator {
	where, err := geo.Open(&config.Config{})
	if err != nil {
		panic(err)
	}
	where.Locate(netip.IPv4Unspecified()) // unpacks it
	return where
})
