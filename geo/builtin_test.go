package geo

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

func TestBuiltinInfo(t *testing.T) {
	info := Builtin()
	if _, err := time.Parse(time.DateOnly, info.Date); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(info.License, "CC0-1.0") || !strings.Contains(info.Source, "geo-whois-asn-country") {
		t.Errorf("licence %q, source %q", info.License, info.Source)
	}
	b, err := unpackBuiltin(networksBin)
	if err != nil {
		t.Fatal(err)
	}
	networks := 0
	var count func(r ref)
	count = func(r ref) {
		switch {
		case !r.isLeaf():
			left, right := b.split(r)
			count(left)
			count(right)
		case r != 0:
			networks++
		}
	}
	count(b.v4)
	count(b.v6)
	if networks != info.Networks || len(b.countries) != info.Countries {
		t.Errorf("%d networks of %d countries, said to be %d of %d", networks, len(b.countries), info.Networks, info.Countries)
	}
	if size := len(networksBin); size > 1_500_000 {
		t.Errorf("the table takes %d bytes of the repository, want under 1.5 MB", size)
	}
}

func TestCentroidsCoverBuiltinCountries(t *testing.T) {
	a, err := parseCentroids(placesTSV)
	if err != nil {
		t.Fatal(err)
	}
	b, err := unpackBuiltin(networksBin)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range b.countries {
		if c, ok := a.countries[code]; !ok || c.centre == (config.Location{}) {
			t.Errorf("country %q has no centre", code)
		}
	}
	for code, c := range a.countries {
		if _, ok := a.continents[c.continent]; !ok {
			t.Errorf("country %q is in continent %q, which has no centre", code, c.continent)
		}
		if len(code) != 2 || code != strings.ToUpper(code) {
			t.Errorf("country %q is not two upper-case letters", code)
		}
	}
	if len(a.continents) != 7 {
		t.Errorf("%d continents", len(a.continents))
	}
}

// The centre of a country is its centre of population, not the middle of its land.
func TestCentresOfPopulation(t *testing.T) {
	a, err := parseCentroids(placesTSV)
	if err != nil {
		t.Fatal(err)
	}
	for code, town := range map[string]config.Location{
		"AU": {Lat: -33.87, Lon: 151.21}, // Sydney, not Alice Springs
		"BR": {Lat: -23.55, Lon: -46.63}, // São Paulo, not Mato Grosso
		"CA": {Lat: 43.65, Lon: -79.38},  // Toronto, not Nunavut
		"CL": {Lat: -33.45, Lon: -70.67},
		"EG": {Lat: 30.04, Lon: 31.24},
		"NO": {Lat: 59.91, Lon: 10.75},
		"RU": {Lat: 55.76, Lon: 37.62}, // Moscow, not Siberia
		"GL": {Lat: 64.18, Lon: -51.72},
		"SE": {Lat: 59.33, Lon: 18.07},
	} {
		if km := Distance(a.countries[code].centre, town); km > 450 {
			t.Errorf("people of %s stand %.0f km from their largest town", code, km)
		}
	}
}

func TestLocateWithBuiltinTable(t *testing.T) {
	l := openWith(t, config.Geo{}, cities(2))
	for addr, country := range map[string]string{
		"8.8.8.8":            "US",
		"193.0.6.139":        "NL",
		"200.160.2.3":        "BR",
		"133.11.0.1":         "JP",
		"2001:67c:2e8:22::1": "NL",
		"2600::1":            "US",
		"::ffff:193.0.6.139": "NL",
	} {
		at := l.Locate(addrOf(addr))
		centre := l.centroids.countries[country]
		want := Location{
			Continent: centre.continent, Country: country,
			Lat: centre.centre.Lat, Lon: centre.centre.Lon, From: "built-in", Network: at.Network,
		}
		if at != want || !at.Network.Contains(addrOf(addr).Unmap()) {
			t.Errorf("%s stands at\n%+v, want\n%+v", addr, at, want)
		}
	}
}

func TestBrokenBuiltinTableIsAnError(t *testing.T) {
	deep := strings.Repeat("\x00", 40) + strings.Repeat("\x01", 41) + "\x01"
	for name, plain := range map[string]string{
		"empty":                  "",
		"no countries":           "\x02DE",
		"no tries":               "\x01DE",
		"IPv4 only":              "\x01DE\x02",
		"half a node":            "\x01DE\x00\x01",
		"a country not listed":   "\x01DE\x03\x01",
		"deeper than an address": "\x00" + deep,
		"more than two tries":    "\x01DE\x01\x02\x01",
	} {
		if _, err := unpackBuiltin(deflate(t, plain)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := unpackBuiltin(networksBin[:1000]); err == nil {
		t.Error("cut off: no error")
	}
	b, err := unpackBuiltin(deflate(t, "\x01DE\x00\x02\x01\x01"))
	if err != nil || b.v4.isLeaf() || b.v6 != 0 {
		t.Errorf("a small table: %v", err)
	}
}

func TestBrokenCentroidsAreAnError(t *testing.T) {
	for _, tsv := range []string{"country\tDE\tEU\t1", "country\tDE\tEU\tx\t1", "country\tDE\tEU\t1\ty"} {
		if _, err := parseCentroids("# head\n\n" + tsv); err == nil || !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%q: %v", tsv, err)
		}
	}
}

func deflate(tb testing.TB, plain string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	fmt.Fprint(w, plain)
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestLocatorsShareTheUnpackedBuiltinTable(t *testing.T) {
	one, other := openWith(t, config.Geo{}, cities(2)), openWith(t, config.Geo{}, cities(3))
	first, err := one.builtinTable()
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.builtinTable()
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("two locators unpacked the built-in table twice")
	}
}
