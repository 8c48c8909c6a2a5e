package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/server"
)

// standAt has whoever decides a question stand at a place: latitude and longitude,
// a country, a subdivision or a region. An empty place leaves it where it is.
func standAt(cfg *config.Config, asked server.Asked, place string) error {
	if place == "" {
		return nil
	}
	n := config.Network{Prefix: asked.Client}
	if !n.Prefix.IsValid() {
		n.Prefix = netip.PrefixFrom(asked.Resolver, asked.Resolver.BitLen())
	}
	lat, lon, isPoint := strings.Cut(place, ",")
	switch upper := strings.ToUpper(place); {
	case isPoint:
		at, err := parsePoint(lat, lon)
		if err != nil {
			return fmt.Errorf("--at: %w", err)
		}
		n.Location = at
	case regionOf(cfg, place) != nil:
		n.Region = place
	case len(place) == 2:
		n.Country = upper
	case len(place) > 3 && place[2] == '-':
		n.Subdivision = upper
	default:
		return fmt.Errorf("--at: %q is no place; want one such as 48.85,2.35 or FR or US-CA, or one of the regions %s", place, regionNames(cfg))
	}
	within := func(other config.Network) bool {
		return n.Prefix.Bits() <= other.Prefix.Bits() && n.Prefix.Contains(other.Prefix.Addr())
	}
	cfg.Geo.Networks = append(slices.DeleteFunc(cfg.Geo.Networks, within), n)
	return nil
}

func parsePoint(lat, lon string) (*config.Location, error) {
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
