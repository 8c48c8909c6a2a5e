package geo

import (
	"testing"

	"meridian/config"
)

func TestBuiltIsTheTimeInTheDatabase(t *testing.T) {
	file := writer{kind: "GeoLite2-City"}.file(t, row{"198.51.100.0/24", cityRecord("DE", "BE", "Berlin", 52.5, 13.4)})
	l, err := Open(&config.Config{File: "m.yaml", Regions: cities(1), Geo: config.Geo{Database: file, Default: cities(1)[0].Name}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	built := l.Built()
	if len(built) != 1 || built["database"].Unix() != 1 { // of the fixtures
		t.Errorf("built %v, want that of the database alone", built)
	}
}
