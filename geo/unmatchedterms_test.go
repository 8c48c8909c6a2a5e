package geo

import (
	"fmt"
	"strings"
	"testing"

	"meridian/config"
)

// matching returns a configuration with these matches, and its Locator.
func matching(t *testing.T, database, asn string, matches ...string) *Locator {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "geo: {database: %s, asn: %s}\npools:\n  web:\n    policy: geolocation\n    default: nodata\n    members:\n", database, asn)
	for i, m := range matches {
		fmt.Fprintf(&text, "      - {name: m%d, addresses: [192.0.2.%d], match: {%s}}\n", i, 1+i, m)
	}
	cfg, _, err := config.Parse("/m.yaml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Each warning has the position of its value in the file.
func TestTermsWithoutRecordCauseWarnings(t *testing.T) {
	systems := writer{kind: "ASN"}.file(t, row{"198.51.100.0/28", asnRecord(64500)})
	l := matching(t, twinCities(t), systems,
		"asn: [64500, 64501], subdivision: [US-CA, us-zz]",
		"city: [FR/Paris, FR/Pariss], subdivision: DE-BE")
	want := []string{
		"/m.yaml:7:65: pools.web.members[0].match.asn[1]: asn 64501: no record of the database has it, so no client matches it; write the number of an autonomous system that announces networks",
		"/m.yaml:7:94: pools.web.members[0].match.subdivision[1]: subdivision US-ZZ: no record of the database has it, so no client matches it; the database has, of US, US-CA, US-IL",
		`/m.yaml:8:69: pools.web.members[1].match.city[1]: city FR/Pariss: no record of the database has it, so no client matches it; did you mean "FR/Paris"?`,
		"/m.yaml:8:94: pools.web.members[1].match.subdivision: subdivision DE-BE: no record of the database has it, so no client matches it; the database has no subdivision of DE",
	}
	var got []string
	for _, w := range l.UnknownTerms() {
		got = append(got, w.Error())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A database of another kind has none of them: each is an error at the position of its value.
func TestTermsOfUnsupportedKindAreErrors(t *testing.T) {
	countries := writer{kind: "Country"}.file(t, row{"203.0.113.0/24", countryRecord("EU", "FR")})
	systems := writer{kind: "ASN"}.file(t, row{"198.51.100.0/28", asnRecord(64500)})
	l := matching(t, countries, systems, "city: [FR/Paris], subdivision: [US-CA]")
	_, err := l.Matches([]config.Match{*l.cfg.Pools[0].Members[0].Match})
	faults, ok := err.(MatchErrors)
	if !ok || len(faults) != 2 {
		t.Fatalf("got %v; want two faults", err)
	}
	for i, want := range []string{
		".city[0] 7:59 city FR/Paris: no source knows cities",
		".subdivision[0] 7:84 subdivision US-CA: no source knows subdivisions",
	} {
		f := faults[i]
		if got := fmt.Sprintf("%s %d:%d %s: %s", f.Term.Path, f.Term.Pos.Line, f.Term.Pos.Column, f.Term.Text, f.What); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := l.UnknownTerms(); got != nil {
		t.Errorf("also warned of: %v", got)
	}
}
