package geo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/config"
)

// UnknownTerms warns of the cities, subdivisions and autonomous systems in matches
// of which no record of the databases says that anybody is there: nobody will match
// them until a database does. Where no source knows any of a kind, Matches faults
// them instead.
func (l *Locator) UnknownTerms() []config.Error {
	u := unknownTerms{l: l}
	for p := range l.cfg.Pools {
		pool := &l.cfg.Pools[p]
		for i := range pool.Members {
			if m := pool.Members[i].Match; m != nil {
				u.in(m, fmt.Sprintf("pools.%s.members[%d].match", pool.Name, i))
			}
		}
	}
	return u.warnings
}

// unknownTerms is a search for them. What sources know is read when a match first asks.
type unknownTerms struct {
	l            *Locator
	cities       cityNames
	subdivisions subdivisionCodes
	systems      map[uint32]bool
	warnings     []config.Error
}

// in looks at the terms of a match, whose path is given.
func (u *unknownTerms) in(m *config.Match, path string) {
	warn := func(t config.MatchTerm, hint string) {
		u.warnings = append(u.warnings, u.l.cfg.ErrorAt(t.Pos, path+t.Path, t.Text+": no record of the database has it, and nobody matches it", hint))
	}
	if len(m.Cities)+len(m.Subdivisions) > 0 {
		u.readPlaces()
	}
	for _, asn := range m.ASNs {
		if !u.announces(asn) {
			warn(m.Term("asn", asn), "write the number of an autonomous system that announces networks")
		}
	}
	for _, city := range m.Cities {
		if hint, ok := u.cities.hint(city); !ok {
			warn(m.Term("city", city), hint)
		}
	}
	for _, code := range m.Subdivisions {
		if hint, ok := u.subdivisions.hint(code); !ok {
			warn(m.Term("subdivision", code), hint)
		}
	}
}

// readPlaces reads which places the sources know. Where they cannot be read, Matches says so.
func (u *unknownTerms) readPlaces() {
	if u.cities != nil {
		return
	}
	u.cities, u.subdivisions = cityNames{}, subdivisionCodes{}
	_ = recoverFault(func() error {
		s, err := u.l.gathered()
		if err == nil {
			u.cities, u.subdivisions = s.cityNames(), s.subdivisionCodes()
		}
		return err
	})
}

// announces reports whether the ASN file has a network of the autonomous system;
// without such a file, or where it cannot be read, it is Matches that says so.
func (u *unknownTerms) announces(asn uint32) bool {
	if u.l.asn == nil {
		return true
	}
	if u.systems == nil {
		u.systems = map[uint32]bool{}
		_ = recoverFault(func() error {
			numbers, err := u.l.asn.numbers()
			for _, n := range numbers {
				u.systems[n] = true
			}
			return err
		})
	}
	return u.systems[asn] || len(u.systems) == 0
}

// subdivisionCodes are the subdivisions that the sources know, by country.
type subdivisionCodes map[string]map[string]bool

func (s *sources) subdivisionCodes() subdivisionCodes {
	codes := subdivisionCodes{}
	for _, who := range s.who {
		country, _, ok := strings.Cut(who.subdivision, "-")
		if !ok {
			continue
		}
		if codes[country] == nil {
			codes[country] = map[string]bool{}
		}
		codes[country][who.subdivision] = true
	}
	return codes
}

// hint is what else could be written for a subdivision; ok: it is known, or none is.
func (c subdivisionCodes) hint(code string) (hint string, ok bool) {
	country, _, _ := strings.Cut(code, "-")
	known := slices.Sorted(maps.Keys(c[country]))
	switch {
	case c[country][code] || len(c) == 0:
		return "", true
	case len(known) == 0:
		return "it has no subdivision of " + country, false
	}
	const most = 5
	more := ""
	if len(known) > most {
		known, more = known[:most], ", ..."
	}
	return "of " + country + " it has " + strings.Join(known, ", ") + more, false
}
