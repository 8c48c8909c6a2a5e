package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEncodeMergesAndOrders(t *testing.T) {
	table := networks{v4: &node{}, v6: &node{}}
	for p, country := range map[string]string{"0.0.0.0/2": "DE", "64.0.0.0/2": "DE", "128.0.0.0/2": "AT"} {
		table.v4.insert(netip.MustParsePrefix(p), country)
	}
	table.v4.merge()
	packed, err := table.encode()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	// two countries; IPv4: halves DE and (halves AT and none); IPv6: none
	if want := "\x02ATDE" + "\x00\x03\x00\x02\x01" + "\x01"; string(plain) != want {
		t.Errorf("%q, want %q", plain, want)
	}
	if got := table.countries(); !slices.Equal(got, []string{"AT", "DE"}) || table.size() != 2 {
		t.Errorf("%d networks of %q", table.size(), got)
	}
}

func TestEncodeRefusesLongCodes(t *testing.T) {
	if _, err := (networks{v4: &node{country: "DEU"}, v6: &node{}}).encode(); err == nil {
		t.Error("no error")
	}
}

func TestWithdrawnCodeBecomesTodays(t *testing.T) {
	if today("AN") != "CW" || today("de") != "DE" {
		t.Error(today("AN"), today("de"))
	}
}

// A few distant people do not move the median away from the majority.
func TestMedianStaysAmongTheMany(t *testing.T) {
	many, far := point{52.5, 13.4}, point{-33.9, 151.2}
	got := median([]weighted{{many, 100}, {far, 40}})
	if math.Hypot(got.lat-many.lat, got.lon-many.lon) > 0.01 {
		t.Errorf("at %+v, want %+v", got, many)
	}
	got = median([]weighted{{point{10, 179}, 1}, {point{10, -179}, 1}, {point{10, 180}, 1}})
	if math.Abs(math.Abs(got.lon)-180) > 0.01 || math.Abs(got.lat-10) > 0.01 {
		t.Errorf("over the date line at %+v", got)
	}
}

func TestReadZones(t *testing.T) {
	file := store(t, "zone.tab", "# comment\nDE\t+5230+01322\tEurope/Berlin\tmost\nAQ\t-775000+1663600\tAntarctica/McMurdo\n")
	zones, err := readZones(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := zones["DE"]; len(got) != 1 || got[0].lat != 52.5 || math.Abs(got[0].lon-13.3667) > 1e-3 {
		t.Errorf("DE: %+v", got)
	}
	if got := zones["AQ"]; len(got) != 1 || math.Abs(got[0].lat+77.8333) > 1e-3 || got[0].lon != 166.6 {
		t.Errorf("AQ: %+v", got)
	}
	for _, bad := range []string{"DE", "DE\t5230+01322\tEurope/Berlin", "DE\t+5230\tEurope/Berlin"} {
		if _, err := readZones(store(t, "zone.tab", bad)); err == nil || !strings.Contains(err.Error(), "zone.tab:1:") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestReadCities(t *testing.T) {
	sint := func(b []byte, field byte, v int64) []byte {
		return binary.AppendUvarint(append(b, field<<3), uint64(v<<1)^uint64(v>>63))
	}
	town := func(country string, people uint64, dlon, dlat int64) []byte {
		b := append([]byte{3<<3 | 2, 2}, country...)
		b = binary.AppendUvarint(append(b, 9<<3), people)
		b = sint(sint(b, 10, dlon), 11, dlat)
		return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
	}
	data := slices.Concat(town("DE", 10, 1340000, 5250000), town("DE", 0, 100000, 0), town("FR", 20, -1200000, -350000))
	cities, err := readCities(store(t, "cities.pbf", string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if got := cities["DE"]; len(got) != 1 || got[0] != (weighted{point{52.5, 13.4}, 10}) {
		t.Errorf("DE: %+v", got)
	}
	if got := cities["FR"]; len(got) != 1 || got[0] != (weighted{point{49, 2.4}, 20}) {
		t.Errorf("FR: %+v", got)
	}
	for name, bad := range map[string]string{
		"cut off": string(data[:len(data)-3]), "no length": "\xff", "no tag": "\x01\xff", "odd type": "\x01\x09", "no number": "\x02\x48\xff",
	} {
		if _, err := readCities(store(t, "cities.pbf", bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPackageDate(t *testing.T) {
	date, version, err := packageDate(store(t, "package.json", `{"version": "2.3.2026061719"}`))
	if date != "2026-06-17" || version != "2.3.2026061719" || err != nil {
		t.Error(date, version, err)
	}
	for _, bad := range []string{`{"version": "1.2.3"}`, `{`} {
		if _, _, err := packageDate(store(t, "package.json", bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func store(t *testing.T, name, data string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
