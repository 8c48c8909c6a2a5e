package plan

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
)

//go:generate sh world/renew.sh

//go:embed world/countries.tsv
var countriesTSV string

// Country is the shape of a country on the map.
type Country struct {
	Code string // ISO 3166-1 alpha-2; empty if it has none
	Path string // SVG path data, in tenths of the units of the map: relative and short
}

// Countries returns the countries of the map for a page that draws it in the browser. The map is
// 10,000 units wide.
func Countries() ([]Country, error) {
	shapes, err := countryShapes()
	if err != nil {
		return nil, err
	}
	all := make([]Country, len(shapes))
	for i, s := range shapes {
		all[i] = Country{s.country, relative(s.path)}
	}
	return all, nil
}

// relative converts a path of drawn to relative integers: "M1.0 2.0L1.5 2.1Z" to "M10 20l5 1z".
func relative(absolute string) string {
	var b strings.Builder
	x, y := 0, 0
	for ring := range strings.SplitSeq(strings.TrimSuffix(absolute, "Z"), "Z") {
		for i, point := range strings.Split(ring[1:], "L") {
			var px, py float64
			fmt.Sscanf(point, "%g %g", &px, &py) //nolint:errcheck // drawn wrote it
			nx, ny := int(math.Round(10*px)), int(math.Round(10*py))
			switch {
			case i == 0:
				fmt.Fprintf(&b, "M%d %d", nx, ny)
			case nx != x || ny != y:
				fmt.Fprintf(&b, "l%d %d", nx-x, ny-y)
			}
			x, y = nx, ny
		}
		b.WriteByte('z')
	}
	return b.String()
}

// countryShape is the shape of a country on the map.
type countryShape struct {
	country string // ISO 3166-1 alpha-2; empty if it has none
	path    string // SVG path data
}

// The size of the map, in user units of the SVG.
const (
	mapWidth  = 1000.0
	mapHeight = mapWidth / 2.05458
)

// countryShapes returns the countries of the map.
func countryShapes() ([]countryShape, error) {
	var all []countryShape
	for i, line := range strings.Split(countriesTSV, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		code, shape, ok := strings.Cut(line, "\t")
		if !ok {
			return nil, fmt.Errorf("world/countries.tsv: line %d has one column, want two", i+1)
		}
		path, err := drawn(shape)
		if err != nil {
			return nil, fmt.Errorf("world/countries.tsv: line %d: %w", i+1, err)
		}
		all = append(all, countryShape{strings.TrimPrefix(code, "-"), path})
	}
	return all, nil
}

// drawn returns the SVG path of a shape: rings separated by semicolons, points by spaces.
func drawn(shape string) (string, error) {
	var b strings.Builder
	for ring := range strings.SplitSeq(shape, ";") {
		pen := byte('M')
		for point := range strings.SplitSeq(ring, " ") {
			lon, lat, _ := strings.Cut(point, ",")
			x, err := strconv.Atoi(lon)
			if err != nil {
				return "", fmt.Errorf("longitude: %w", err)
			}
			y, err := strconv.Atoi(lat)
			if err != nil {
				return "", fmt.Errorf("latitude: %w", err)
			}
			px, py := project(float64(y)/10, float64(x)/10)
			fmt.Fprintf(&b, "%c%.1f %.1f", pen, px, py)
			pen = 'L'
		}
		b.WriteByte('Z')
	}
	return b.String(), nil
}

// project returns the position on the map of a point of Earth in degrees, from the upper left
// corner: the Equal Earth projection (Šavrič, Patterson and Jenny, International Journal of
// Geographical Information Science, 2019), which keeps the relative sizes of countries.
func project(lat, lon float64) (x, y float64) {
	const a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
	theta := math.Asin(math.Sqrt(3) / 2 * math.Sin(lat*math.Pi/180))
	t2 := theta * theta
	t6 := t2 * t2 * t2
	px := 2 * math.Sqrt(3) * (lon * math.Pi / 180) * math.Cos(theta) / (3 * (9*a4*t6*t2 + 7*a3*t6 + 3*a2*t2 + a1))
	py := theta * (a4*t6*t2 + a3*t6 + a2*t2 + a1)
	const halfWidth = 2.7066299836 // px at longitude 180 on the equator
	scale := mapWidth / 2 / halfWidth
	return mapWidth/2 + px*scale, mapHeight/2 - py*scale
}
