package config

import (
	"slices"
	"testing"
)

func TestGroupsEUAndEEAAreBuiltIn(t *testing.T) {
	const pools = `
pools:
  web:
    policy: geolocation
    members:
      - {name: union, addresses: [192.0.2.1], match: {group: eu}}
      - {name: area, addresses: [192.0.2.2], match: {group: eea}}
      - {name: others, addresses: [192.0.2.3], match: default}
zones: {g.example: {nameservers: {ns.g.example: [192.0.2.53]}, contact: h@g.example, names: {www: {pool: web}}}}
`
	groups := func(text string) map[string][]string {
		found := map[string][]string{}
		for _, g := range parse(t, text).Geo.Groups {
			found[g.Name] = g.Countries
		}
		return found
	}
	got := groups(pools)
	if eu := got["eu"]; len(eu) != 27 || slices.Contains(eu, "GB") || !slices.Contains(eu, "HR") {
		t.Errorf("eu is %v", eu)
	}
	if eea := got["eea"]; len(eea) != 30 || !slices.Contains(eea, "IS") || !slices.Contains(eea, "LI") || !slices.Contains(eea, "NO") || slices.Contains(eea, "CH") {
		t.Errorf("eea is %v", eea)
	}
	own := groups("geo: {groups: {eu: [DE, FR]}}" + pools)
	if !slices.Equal(own["eu"], []string{"DE", "FR"}) || len(own["eea"]) != 30 {
		t.Errorf("with a group of that name in the file: %v", own)
	}
	for _, c := range got["eea"] {
		if !isCountry(c) {
			t.Errorf("%s is not a country", c)
		}
	}
	if none := parse(t, "zones: {}"); len(none.Geo.Groups) != 0 {
		t.Errorf("groups that no match names: %v", none.Geo.Groups)
	}
}
