package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/control"
	"meridian/geo"
	"meridian/server/answer"
)

// fromAt is the source that an explanation names for a client located by --at.
const fromAt = "--at"

// clientAt locates the client of a question at a place and returns the question to ask.
// The client is the client-subnet or the packet's source, determined before it is moved.
// An empty place changes nothing.
func clientAt(cfg *config.Config, asked answer.ExplainQuery, place string) (answer.ExplainQuery, error) {
	if place == "" {
		return asked, nil
	}
	light := config.Config{File: cfg.File, Regions: cfg.Regions, Geo: config.Geo{Networks: cfg.Geo.Networks}}
	where, err := geo.Open(&light)
	if err != nil {
		return asked, nil // the build reports this error with all others
	}
	n, err := placeNamed(cfg, place)
	if err != nil {
		return asked, errors.Join(fmt.Errorf("--at: %w", err), where.Close())
	}
	asked, n.Prefix = answer.EffectiveClient(cfg, where, asked)
	within := func(other config.Network) bool {
		return n.Prefix.Bits() <= other.Prefix.Bits() && n.Prefix.Contains(other.Prefix.Addr())
	}
	cfg.Geo.Networks = append(slices.DeleteFunc(slices.Clone(cfg.Geo.Networks), within), n)
	return asked, where.Close()
}

// markAt sets --at as the source of the client's location.
func markAt(e *control.Explanation) {
	e.Location.From = fromAt
	for i := range e.Sources {
		if e.Sources[i].Placed {
			e.Sources[i].Source = fromAt
		}
	}
}

// placeNamed returns the place that a text names:
//
//	text                     place
//	48.85,2.35               latitude and longitude
//	region:eu-west, eu-west  a region of the configuration
//	city:FR/Paris, FR/Paris  a city of the database
//	US-CA                    a subdivision; also subdivision:US-CA
//	FR                       a country; also country:FR
//	EU                       a continent, where no country has its code
//	continent:NA             a continent, even if a country has the same code
func placeNamed(cfg *config.Config, text string) (config.Network, error) {
	kind, name, explicit := strings.Cut(text, ":")
	if !explicit {
		kind, name = kindOf(cfg, text), text
	}
	upper := strings.ToUpper(name)
	switch kind {
	case "point":
		at, err := parsePoint(name)
		return config.Network{Location: at}, err
	case "region":
		if regionOf(cfg, name) == nil {
			return config.Network{}, fmt.Errorf("no region %q; there are %s", name, regionNames(cfg))
		}
		return config.Network{Region: name}, nil
	case "city":
		return cityNamed(cfg, name)
	case "subdivision":
		n := config.Network{Subdivision: upper}
		return n, clientKinds(n)
	case "country":
		n := config.Network{Country: upper}
		return n, clientKinds(n)
	case "continent":
		n := config.Network{Continent: upper}
		return n, clientKinds(n)
	}
	return config.Network{}, fmt.Errorf("%q is no place; want one such as 48.85,2.35 or FR or US-CA or FR/Paris or continent:EU, or one of the regions %s",
		text, regionNames(cfg))
}

// kindOf returns the kind of a place written without one; empty if there is none.
func kindOf(cfg *config.Config, text string) string {
	switch {
	case regionOf(cfg, text) != nil:
		return "region"
	case strings.Contains(text, ","):
		return "point"
	case strings.Contains(text, "/"):
		return "city"
	case len(text) > 3 && text[2] == '-':
		return "subdivision"
	case len(text) != 2:
		return ""
	case clientKinds(config.Network{Continent: strings.ToUpper(text)}) == nil && clientKinds(config.Network{Country: strings.ToUpper(text)}) != nil:
		return "continent"
	}
	return "country"
}

// clientKinds validates a place as the only network of a configuration.
func clientKinds(n config.Network) error {
	n.Prefix = netip.MustParsePrefix("192.0.2.0/24") // any network
	where, err := geo.Open(&config.Config{Geo: config.Geo{Networks: []config.Network{n}}})
	if err != nil {
		return errors.New(errorsOf("", err)[0].What)
	}
	return where.Close()
}

// cityNamed finds a city in the database.
func cityNamed(cfg *config.Config, name string) (config.Network, error) {
	where, city, ok := strings.Cut(name, "/")
	if !ok || len(where) < 2 || city == "" {
		return config.Network{}, fmt.Errorf("%q is no city; want its country or subdivision before it, such as FR/Paris", name)
	}
	l, err := geo.Open(&config.Config{Geo: config.Geo{Database: cfg.Geo.Database, MaxAccuracyRadius: cfg.Geo.MaxAccuracyRadius}})
	if err != nil {
		return config.Network{}, errors.New(errorsOf("", err)[0].What)
	}
	at, hint, ok := l.City(strings.ToUpper(where) + "/" + strings.ToLower(city))
	if err := l.Close(); err != nil {
		return config.Network{}, err
	}
	if !ok {
		return config.Network{}, fmt.Errorf("no source knows the city %q; %s", name, hint)
	}
	return config.Network{
		Location:  &config.Location{Lat: at.Lat, Lon: at.Lon},
		Continent: at.Continent, Country: at.Country, Subdivision: at.Subdivision, City: at.City,
	}, nil
}

func parsePoint(text string) (*config.Location, error) {
	lat, lon, _ := strings.Cut(text, ",")
	at, err := config.Location{}, error(nil)
	for _, c := range []struct {
		name, text string
		most       float64
		to         *float64
	}{{"latitude", lat, 90, &at.Lat}, {"longitude", lon, 180, &at.Lon}} {
		if *c.to, err = strconv.ParseFloat(strings.TrimSpace(c.text), 64); err != nil || !(*c.to >= -c.most && *c.to <= c.most) {
			return nil, fmt.Errorf("%q is not a %s from -%g to %g", c.text, c.name, c.most, c.most)
		}
	}
	return &at, nil
}
