package geo

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"meridian/config"
)

func TestConsultListsEachSource(t *testing.T) {
	l := openWith(t, config.Geo{
		Database: writer{kind: "City"}.file(t, row{"198.51.100.0/24", cityRecord("US", "CA", "San Jose", 37.3, -121.9)}),
		ASN:      writer{kind: "ASN"}.file(t, row{"198.51.100.0/28", asnRecord(64500)}),
		Networks: []config.Network{
			{Prefix: netip.MustParsePrefix("198.51.100.0/26"), Region: "us-east"},
			{Prefix: netip.MustParsePrefix("10.7.0.0/16"), Country: "DE"},
		},
	}, cities(2))
	for _, c := range []struct{ client, want string }{
		{"198.51.100.1", `
			networks 198.51.100.0/26 region "us-east" *
			database 198.51.100.0/24 NA US US-CA San Jose at 37.30, -121.90
			default  region "us-east"
			asn 198.51.100.0/28 AS64500 Example`},
		{"198.51.100.200", `
			networks  no entry contains the client
			database 198.51.100.0/24 NA US US-CA San Jose at 37.30, -121.90 *
			default  region "us-east"
			asn  has no autonomous system for the client`},
		{"10.7.0.1", `
			networks 10.7.0.0/16 EU DE at 51.03, 9.41 *
			database  has no location for the client
			built-in  has no country for the client
			default  region "us-east"
			asn  has no autonomous system for the client`},
		{"10.8.0.1", `
			networks  no entry contains the client
			database  has no location for the client
			built-in  skipped: the address is private; only geo.networks can locate it
			default  region "us-east" *
			asn  has no autonomous system for the client`},
	} {
		got := ""
		for _, s := range l.LookupAll(addrOf(c.client)) {
			mark := ""
			if s.Placed {
				mark = " *"
			}
			got += fmt.Sprintf("\n%s %s %s%s", s.Source, s.Network, s.Says, mark)
		}
		if want := strings.ReplaceAll(c.want, "\t", ""); got != want {
			t.Errorf("%s: got%s\nwant%s", c.client, got, want)
		}
	}
}

func TestCityReturnsLocation(t *testing.T) {
	l := openWith(t, config.Geo{Database: twinCities(t)}, cities(1))
	at, _, ok := l.City("FR/paris")
	if !ok || at.Country != "FR" || at.City != "Paris" {
		t.Errorf("Paris: %+v %v", at, ok)
	}
	one, _, _ := l.City("US-CA/san jose")
	other, _, _ := l.City("US-IL/san jose")
	if one.Subdivision != "US-CA" || other.Subdivision != "US-IL" || one.Lat == other.Lat {
		t.Errorf("twins: %+v, %+v", one, other)
	}
	if _, hint, ok := l.City("FR/pariss"); ok || hint != `did you mean "FR/Paris"?` {
		t.Errorf("hint %q", hint)
	}
	if _, hint, ok := openWith(t, config.Geo{}, cities(1)).City("FR/paris"); ok || hint != "name a City database under geo.database" {
		t.Errorf("without a database: hint %q", hint)
	}
}

// A client with a city from networks matches like one with that city from the database.
func TestNetworkWithCity(t *testing.T) {
	where := openWith(t, config.Geo{Database: twinCities(t)}, cities(1))
	at, _, _ := where.City("FR/paris")
	l := openWithCities(t, config.Geo{Database: where.cfg.Geo.Database, Networks: []config.Network{{
		Prefix:   netip.MustParsePrefix("192.0.2.0/24"),
		Location: &config.Location{Lat: at.Lat, Lon: at.Lon}, Continent: at.Continent, Country: at.Country, City: at.City,
	}}}, "FR/paris")
	matches := []config.Match{{Default: true}, {Cities: []string{"FR/paris"}}}
	table, err := l.Matches(matches)
	if err != nil {
		t.Fatal(err)
	}
	if first, _ := table.Nearest(addrOf("192.0.2.1")); first != 1 || l.Matching(addrOf("192.0.2.1"), matches)[0].By != "city FR/Paris" {
		t.Errorf("match %d, %v", first, l.Matching(addrOf("192.0.2.1"), matches))
	}
}
