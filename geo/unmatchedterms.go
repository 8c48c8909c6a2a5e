package geo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/config"
)

// UnknownTerms returns warnings for the cities, subdivisions and autonomous systems in matches that no record of the
// databases contains. No client matches them until a database does. If no source provides a kind of term at all,
// Matches returns an error instead.
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

// unknownTerms searches for such terms. It reads the sources when a match first needs them.
type unknownTerms struct {
	l            *Locator
	cities       cityNames
	subdivisions subdivisionCodes
	systems      map[uint32]bool
	warnings     []config.Error
}

// in checks the terms of a match at the given path.
func (u *unknownTerms) in(m *config.Match, path string) {
	warn := func(t config.MatchTerm, hint string) {
		u.warnings = append(u.warnings, u.l.cfg.ErrorAt(t.Pos, path+t.Path, t.Text+": no record of the database has it, so no client matches it", hint))
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

// readPlaces reads the places of the sources. If they cannot be read, Matches reports the error.
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

// announces reports whether the ASN file has a network of the autonomous system. It returns true without a readable
// file: Matches reports that error.
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

// subdivisionCodes holds the subdivisions of all sources, by country.
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

// hint suggests other subdivisions. ok is true if the code is known or no subdivision is.
func (c subdivisionCodes) hint(code string) (hint string, ok bool) {
	country, _, _ := strings.Cut(code, "-")
	known := slices.Sorted(maps.Keys(c[country]))
	switch {
	case c[country][code] || len(c) == 0:
		return "", true
	case len(known) == 0:
		return "the database has no subdivision of " + country, false
	}
	const most = 5
	more := ""
	if len(known) > most {
		known, more = known[:most], ", ..."
	}
	return "the database has, of " + country + ", " + strings.Join(known, ", ") + more, false
}
