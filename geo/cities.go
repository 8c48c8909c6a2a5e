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

// cityNames are the cities that the sources know, by country and by
// subdivision: of each its name in lower case, and as it is written.
type cityNames map[string]map[string]string

// cityNames is empty where no source knows any city.
func (s *sources) cityNames() cityNames {
	names := cityNames{}
	for _, who := range s.who {
		if !who.inCity() {
			continue
		}
		for _, where := range []string{who.country, who.subdivision} {
			if where == "" {
				continue
			}
			if names[where] == nil {
				names[where] = map[string]string{}
			}
			names[where][strings.ToLower(who.city)] = who.city
		}
	}
	return names
}

// hint is what else a city was most likely meant to be; ok: it is known, or no city is.
func (c cityNames) hint(city string) (hint string, ok bool) {
	where, name, _ := strings.Cut(city, "/")
	if _, ok := c[where][name]; ok || len(c) == 0 {
		return "", true
	}
	for _, where := range []string{where, where[:2]} { // such as a subdivision that its file does not tell
		if near, ok := config.Nearest(name, slices.Sorted(maps.Keys(c[where]))); ok {
			return fmt.Sprintf("did you mean %q?", where+"/"+c[where][near]), false
		}
	}
	return "write the English name that the database has, after the country or subdivision in which it has it", false
}
