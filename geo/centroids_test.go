package geo

import (
	"maps"
	"slices"
	"testing"

	"meridian/config"
)

// Config rejects exactly the countries that are missing from the centroids.
func TestConfigAndCentroidsHaveSameCountries(t *testing.T) {
	a, err := parseCentroids(placesTSV)
	if err != nil {
		t.Fatal(err)
	}
	if known := slices.Sorted(maps.Keys(a.countries)); !slices.Equal(known, config.Countries()) {
		t.Errorf("the atlas knows %q, config %q", known, config.Countries())
	}
}
