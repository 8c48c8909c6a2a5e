package geo

import (
	"net/netip"
	"strings"
	"testing"

	"meridian/config"
)

// TestNetworkWithPointAndArea checks that the distance depends on the point and matches on the area.
func TestNetworkWithPointAndArea(t *testing.T) {
	regions := cities(2)
	l := openWith(t, config.Geo{Networks: []config.Network{
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Region: "eu-west", Country: "DE"},
		{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Location: &config.Location{Lat: 1, Lon: 2}, Subdivision: "US-CA"},
		{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Region: "us-east", Continent: "AS"},
	}}, regions)
	for _, c := range []struct {
		client, says string
		want         Location
	}{
		{"10.1.2.3", `region "eu-west" in EU DE`, Location{Continent: "EU", Country: "DE", Lat: 53.35, Lon: -6.26}},
		{"10.2.2.3", `NA US US-CA at 1.00, 2.00`, Location{Continent: "NA", Country: "US", Subdivision: "US-CA", Lat: 1, Lon: 2}},
		{"10.3.2.3", `region "us-east" in AS`, Location{Continent: "AS", Lat: 39.04, Lon: -77.49}},
	} {
		got := l.Locate(addrOf(c.client))
		got.From, got.Network = "", netip.Prefix{}
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.client, got, c.want)
		}
		if says := l.LookupAll(addrOf(c.client))[0].Says; !strings.HasPrefix(says, c.says) {
			t.Errorf("%s: networks say %q, want %q", c.client, says, c.says)
		}
	}
	if at := l.Matching(addrOf("10.1.2.3"), []config.Match{{Countries: []string{"DE"}}}); len(at) != 1 {
		t.Errorf("matches of a network with region and country: %+v", at)
	}
}
