package geo

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"meridian/config"
)

// placesTSV holds the centres of population, made by builtin/gen.
//
//go:embed builtin/places.tsv
var placesTSV string

// centroids holds the centre of population of each country and continent.
type centroids struct {
	countries  map[string]country         // by ISO 3166-1 alpha-2, upper case
	continents map[string]config.Location // by two letters
	maxRadius  int                        // in km: coordinates with a larger radius are replaced by the country's centre; 0: no limit
}

// country holds a country's continent and centre of population.
type country struct {
	continent string
	centre    config.Location
}

// parseCentroids reads lines of kind, code, continent, latitude and longitude.
func parseCentroids(tsv string) (centroids, error) {
	a := centroids{countries: map[string]country{}, continents: map[string]config.Location{}}
	for i, line := range strings.Split(tsv, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			return a, fmt.Errorf("line %d: %d columns, want 5", i+1, len(f))
		}
		lat, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			return a, fmt.Errorf("line %d: latitude: %w", i+1, err)
		}
		lon, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return a, fmt.Errorf("line %d: longitude: %w", i+1, err)
		}
		at := config.Location{Lat: lat, Lon: lon}
		if f[0] == "continent" {
			a.continents[f[1]] = at
		} else {
			a.countries[f[1]] = country{f[2], at}
		}
	}
	return a, nil
}
