package geo

import (
	"math"
	"testing"

	"meridian/config"
)

func TestDistance(t *testing.T) {
	at := func(lat, lon float64) config.Location { return config.Location{Lat: lat, Lon: lon} }
	half := math.Pi * earthRadius
	for name, c := range map[string]struct {
		a, b config.Location
		want float64
	}{
		"nowhere to go":            {at(53.35, -6.26), at(53.35, -6.26), 0},
		"a degree of latitude":     {at(10, 20), at(11, 20), half / 180},
		"pole to pole":             {at(90, 0), at(-90, 77), half},
		"antipodes":                {at(30, 40), at(-30, -140), half},
		"over the date line":       {at(0, 179), at(0, -179), half / 90},
		"New York to London":       {at(40.7128, -74.0060), at(51.5074, -0.1278), 5570.2},
		"Sydney to Santiago":       {at(-33.8688, 151.2093), at(-33.4489, -70.6693), 11340},
		"longitude at a pole":      {at(90, 0), at(90, 120), 0},
		"a quarter on the equator": {at(0, -45), at(0, 45), half / 2},
	} {
		got := Distance(c.a, c.b)
		if math.Abs(got-c.want) > 1e-3*c.want+1e-6 {
			t.Errorf("%s: %.4f km, want %.4f", name, got, c.want)
		}
		if back := Distance(c.b, c.a); back != got {
			t.Errorf("%s: %v there and %v back", name, got, back)
		}
	}
}

// Regions at equal distance by their coordinates must be equal in floating point. Otherwise noise breaks the tie, and
// not the configured order.
func TestDistanceKeepsTies(t *testing.T) {
	at := func(lat, lon float64) config.Location { return config.Location{Lat: lat, Lon: lon} }
	for name, c := range map[string][3]config.Location{
		"east and west":              {at(47, 20), at(47, 10), at(47, 30)},
		"over the date line":         {at(5, 180), at(5, 170), at(5, -170)},
		"north and south":            {at(0, 12.25), at(10.5, 12.25), at(-10.5, 12.25)},
		"the same place":             {at(1, 2), at(33.3, 44.4), at(33.3, 44.4)},
		"west and east of Greenwich": {at(51.5, 0), at(51.5, -7.7), at(51.5, 7.7)},
	} {
		if a, b := Distance(c[0], c[1]), Distance(c[0], c[2]); a != b {
			t.Errorf("%s: %v and %v, want equal", name, a, b)
		}
	}
}

func TestBiased(t *testing.T) {
	for _, c := range []struct {
		bias int
		want float64
	}{{0, 1000}, {10, 900}, {99, 10}, {-10, 1000 / 0.9}, {-50, 2000}, {-99, 100000}} {
		if got := Biased(1000, c.bias); math.Abs(got-c.want) > 1e-9*c.want {
			t.Errorf("bias %d makes 1000 km %v, want %v", c.bias, got, c.want)
		}
	}
}
