package config

import "strings"

// The built-in country groups, unless the configuration defines one of the same name: the members of the European Union
// (since 2020) and of the European Economic Area. Parts of members with a code of their own, such as GF and AX, are in
// neither.
const (
	euMembers  = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
	eeaMembers = euMembers + " IS LI NO"
)

// builtInGroups returns the country groups that need no definition.
func builtInGroups() []CountryGroup {
	return []CountryGroup{
		{Name: "eu", Countries: strings.Fields(euMembers)},
		{Name: "eea", Countries: strings.Fields(eeaMembers)},
	}
}

// declareGroups lets matches name the built-in groups.
func (d *decoder) declareGroups() {
	for _, g := range builtInGroups() {
		d.declared[kindGroup][g.Name] = &definition{name: g.Name, used: true}
	}
}

// addBuiltInGroups adds the built-in groups that a match names and the file does not define.
func (d *decoder) addBuiltInGroups(g *Geo) {
	wanted := make(map[string]bool)
	for _, use := range d.groupUses {
		wanted[use.group] = true
	}
	for _, own := range g.Groups {
		wanted[own.Name] = false
	}
	for _, built := range builtInGroups() {
		if wanted[built.Name] {
			g.Groups = append(g.Groups, built)
		}
	}
}
