package geo

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"meridian/config"
)

func TestConsultTellsWhatEachSourceSays(t *testing.T) {
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
			networks  no entry holds the client
			database 198.51.100.0/24 NA US US-CA San Jose at 37.30, -121.90 *
			default  region "us-east"
			asn  knows no system that announces the client`},
		{"10.7.0.1", `
			networks 10.7.0.0/16 EU DE at 51.03, 9.41 *
			database  knows no place of the client
			built-in  knows no country of the client
			default  region "us-east"
			asn  knows no system that announces the client`},
		{"10.8.0.1", `
			networks  no entry holds the client
			database  knows no place of the client
			built-in  not asked: the address is private
			default  region "us-east" *
			asn  knows no system that announces the client`},
	} {
		got := ""
		for _, s := range l.Consult(addrOf(c.client)) {
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
