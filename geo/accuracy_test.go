package geo

import (
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"meridian/config"
)

// radiusRecord returns a record of a country with coordinates and an accuracy radius.
func radiusRecord(country string, lat, lon float64, radius mmdbtype.DataType) mmdbtype.Map {
	r := cityRecord(country, "", "", lat, lon)
	r["location"].(mmdbtype.Map)["accuracy_radius"] = radius
	return r
}

// TestLargeAccuracyRadiusIgnoresCoordinates checks that the country's location replaces them, in explanations
// and in tables. The coordinates are those of Los Angeles; the centre of population of the United States is nearer to
// us-central.
func TestLargeAccuracyRadiusIgnoresCoordinates(t *testing.T) {
	db := writer{kind: "GeoLite2-City"}.file(t,
		row{"1.1.0.0/16", radiusRecord("US", 34.05, -118.24, mmdbtype.Uint16(501))},
		row{"1.2.0.0/16", radiusRecord("US", 34.05, -118.24, mmdbtype.Uint16(500))},
		row{"1.3.0.0/16", radiusRecord("US", 34.05, -118.24, mmdbtype.Float64(1000.5))},
		row{"1.4.0.0/16", radiusRecord("US", 34.05, -118.24, mmdbtype.String("1000"))},
		row{"1.5.0.0/16", radiusRecord("", 34.05, -118.24, mmdbtype.Uint32(5000))},
		row{"1.6.0.0/16", cityRecord("US", "CA", "", 34.05, -118.24)},
	)
	regions := []config.Region{
		{Name: "us-west", Location: config.Location{Lat: 37.77, Lon: -122.42}},
		{Name: "us-central", Location: config.Location{Lat: 41.26, Lon: -95.86}},
	}
	for _, c := range []struct {
		client  string
		max     int
		nearest uint16
		notUsed int
	}{
		{"1.1.0.1", 500, 1, 501},
		{"1.2.0.1", 500, 0, 0},
		{"1.3.0.1", 500, 1, 1001},
		{"1.4.0.1", 500, 0, 0}, // not a number: unknown
		{"1.5.0.1", 500, 0, 0}, // no country to use instead
		{"1.6.0.1", 500, 0, 0}, // no radius
		{"1.1.0.1", 501, 0, 0},
		{"1.1.0.1", 0, 0, 0}, // off
		{"1.2.0.1", 10, 1, 500},
	} {
		l := openWith(t, config.Geo{Database: db, MaxAccuracyRadius: c.max}, regions)
		if at := l.Locate(addrOf(c.client)); at.Imprecise != c.notUsed || (at.Lat == 34.05) != (c.notUsed == 0) {
			t.Errorf("%s with %d km is at %+v; want a radius of %d km that is not used", c.client, c.max, at, c.notUsed)
		}
		table, err := l.Table(regions)
		if err != nil {
			t.Fatal(err)
		}
		if nearest, _ := table.Nearest(addrOf(c.client)); nearest != c.nearest {
			t.Errorf("%s with %d km is nearest to region %d, want %d", c.client, c.max, nearest, c.nearest)
		}
		var says string
		for _, s := range l.LookupAll(addrOf(c.client)) {
			if s.Source == "database" {
				says = s.Says
			}
		}
		if strings.Contains(says, "geo.max_accuracy_radius") != (c.notUsed > 0) {
			t.Errorf("%s with %d km: the database says %q", c.client, c.max, says)
		}
	}
}
