package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"
)

func TestDatabaseReadsBack(t *testing.T) {
	places := map[string]place{
		"192.0.2.0/24":      {City: "Linz", Country: "AT", Lat: 48.3, Lon: 14.2833},
		"192.0.3.0/25":      {Country: "US", Lat: -1.5, Lon: 100},
		"192.0.3.128/25":    {City: strings.Repeat("x", 300), Country: "US"},
		"198.51.100.7/32":   {City: strings.Repeat("y", 40)},
		"2001:db8::/32":     {Country: "ZA", Lat: -33.9},
		"2001:db9:0:1::/64": {Country: "AT"},
	}
	w := newWriter("GeoLite2-City", 1700000000)
	for prefix, p := range places {
		w.insert(netip.MustParsePrefix(prefix), p.nested())
	}
	var file bytes.Buffer
	if err := w.write(&file); err != nil {
		t.Fatal(err)
	}
	db, err := maxminddb.OpenBytes(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Verify(); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range places {
		var got struct {
			City struct {
				Names map[string]string `maxminddb:"names"`
			} `maxminddb:"city"`
			Continent struct {
				Code string `maxminddb:"code"`
			} `maxminddb:"continent"`
			Country struct {
				Code string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
			Location struct {
				Lat float64 `maxminddb:"latitude"`
				Lon float64 `maxminddb:"longitude"`
			} `maxminddb:"location"`
		}
		result := db.Lookup(netip.MustParsePrefix(prefix).Addr())
		if err := result.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if result.Prefix().String() != prefix {
			t.Errorf("%s came back as %s", prefix, result.Prefix())
		}
		if got.City.Names["en"] != want.City || got.Country.Code != want.Country || got.Continent.Code != continent(want.Country) ||
			got.Location.Lat != degrees(want.Lat) || got.Location.Lon != degrees(want.Lon) {
			t.Errorf("%s: got %+v, want %+v", prefix, got, want)
		}
	}
	if found := db.Lookup(netip.MustParseAddr("203.0.113.1")).Found(); found {
		t.Error("an address outside every network was found")
	}
}

func TestEveryCountryHasOneContinent(t *testing.T) {
	seen := map[string]string{}
	for _, c := range continents {
		for country := range strings.FieldsSeq(c.countries) {
			if seen[country] != "" || len(country) != 2 {
				t.Errorf("%q is listed under %s and %s", country, seen[country], c.code)
			}
			seen[country] = c.code
		}
	}
	if got := continent("GB"); got != "EU" {
		t.Errorf("continent of GB is %q", got)
	}
}
