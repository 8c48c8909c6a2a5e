package geo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/config"
)

// namesCities reports whether any match has a city.
func namesCities(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool {
		return slices.ContainsFunc(p.Members, func(m config.Member) bool { return m.Match != nil && len(m.Match.Cities) > 0 })
	})
}

// cityNames holds the cities of all sources, by country and by subdivision: each name in lower case, with its
// original spelling.
type cityNames map[string]map[string]string

// cityNames collects the cities of all sources. It is empty if no source has cities.
func (s *sources) cityNames() cityNames {
	names := cityNames{}
	for _, who := range s.who {
		if !who.inCity() {
			continue
		}
		names.add(who)
	}
	return names
}

// add adds a city.
func (c cityNames) add(of area) {
	for _, where := range []string{of.country, of.subdivision} {
		if where == "" {
			continue
		}
		if c[where] == nil {
			c[where] = map[string]string{}
		}
		c[where][strings.ToLower(of.city)] = of.city
	}
}

// hint suggests a known city that is close to this one. ok is true if the city is known or no city is.
func (c cityNames) hint(city string) (hint string, ok bool) {
	where, name, _ := strings.Cut(city, "/")
	if _, ok := c[where][name]; ok || len(c) == 0 {
		return "", true
	}
	for _, where := range []string{where, where[:2]} { // for example a subdivision that the file does not have
		if near, ok := config.Nearest(name, slices.Sorted(maps.Keys(c[where]))); ok {
			return fmt.Sprintf("did you mean %q?", where+"/"+c[where][near]), false
		}
	}
	return "write the English name as in the database, after the database's country or subdivision", false
}

// City returns the location of a city, written as in a match, from the first record of the database that names it. If
// no record does, hint suggests another spelling. It reads all records, so it is slow.
func (l *Locator) City(city string) (at Location, hint string, ok bool) {
	if l.db == nil {
		return at, "name a City database under geo.database", false
	}
	known := cityNames{}
	err := recoverFault(func() error {
		set, err := l.db.offsets()
		if err != nil {
			return err
		}
		set.each(func(offset uint32) bool {
			e, broken := l.schema(l.db.reader.LookupOffset(uintptr(offset)))
			if err = broken; err != nil || e.city == "" {
				return err == nil
			}
			known.add(area{e.continent, e.country, e.subdivision, e.city})
			if cityKey(e.subdivision, e.city) == city || cityKey(e.country, e.city) == city {
				at, ok = l.centroids.standing(e)
			}
			return !ok
		})
		return err
	})
	switch {
	case err != nil:
		return Location{}, err.Error(), false
	case ok:
		return at, "", true
	case len(known) == 0:
		return at, "name a City database under geo.database", false
	}
	hint, _ = known.hint(city)
	return at, hint, false
}
