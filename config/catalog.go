package config

import (
	"fmt"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// CatalogEntry is the entry of a zone in a catalog that is produced here (RFC 9432).
type CatalogEntry struct {
	Catalog dnsname.Name // empty: the zone is in no catalog
	Group   string       // by which consumers choose the settings of the zone; empty: none
	Pos     Pos          // of the name of the catalog
}

// noServer is the name server of a catalog: nothing is delegated to it (RFC 9432 4.1).
const noServer = "invalid."

// catalogs reads the catalogs that are produced: zones that list the zones of this server for others.
func (d *decoder) catalogs(to *[]Zone) setter {
	return func(n *yaml.Node) {
		userMapping(d, n, d.zoneName, func(name dnsname.Name, key, value *yaml.Node) {
			z := d.defaults.zone
			z.Name, z.Pos, z.Produced = name, posOf(key), true
			z.Nameservers, z.Contact = []Nameserver{{Name: noServer, Pos: z.Pos}}, noServer
			d.catalog(value, &z)
			*to = append(*to, z)
		})
	}
}

func (d *decoder) catalog(n *yaml.Node, z *Zone) {
	var produce bool
	var transfer, allow, deny *yaml.Node
	if !d.mapping(n, []field{
		{name: "produce", set: d.flag(&produce)},
		{name: "serial", set: d.serial(z)},
		{name: "journal", set: d.journal(&z.Journal)},
		{name: "transfer", set: capture(&transfer)},
		{name: "allow", set: capture(&allow)},
		{name: "deny", set: capture(&deny)},
	}) {
		return
	}
	switch at := yamldoc.Child(n, "produce"); {
	case at == nil:
		d.required(n, "produce", "write produce: true; catalogs of other servers cannot be used yet")
	case !produce:
		d.errorf(at, "a catalog that is not produced does nothing", "write produce: true, or leave the catalog out")
	}
	if transfer != nil {
		d.transfer(z)(transfer)
	}
	d.access(allow, deny, &z.Access)
}

// catalogEntry reads the catalog of a zone: its name, or a mapping with the group, too.
func (d *decoder) catalogEntry(to *CatalogEntry) setter {
	return func(n *yaml.Node) {
		at := n
		if n.Kind == yaml.SequenceNode {
			d.shapes.see(n)
			d.errorf(n, "found a list", "a zone is in one catalog: write its name, or {name: CATALOG, group: GROUP}")
			d.shapes.reject(n)
			return
		}
		if n.Kind == yaml.MappingNode {
			if !d.mapping(n, []field{
				{name: "name", set: capture(&at)},
				{name: "group", set: setValue(&to.Group, d.catalogGroup)},
			}) {
				return
			}
			if yamldoc.Child(n, "name") == nil {
				d.required(n, "name", "write the name of a catalog of catalogs")
				return
			}
		}
		if name, ok := d.zoneName(at); ok {
			to.Catalog, to.Pos = name, posOf(at)
		}
	}
}

// maxGroup is the longest name of a group in a catalog.
const maxGroup = 63

// catalogGroup reads the name of a group.
func (d *decoder) catalogGroup(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	odd := func(r rune) bool {
		return !strings.ContainsRune("-_.", r) && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}
	if ok && (len(s) > maxGroup || strings.ContainsFunc(s, odd)) {
		d.errorf(n, quote(s)+" is not the name of a group", fmt.Sprintf("at most %d letters, digits, dots, hyphens and underscores", maxGroup))
		return "", false
	}
	return s, ok
}

// checkCatalogs reports zones in catalogs that are not produced.
func (d *decoder) checkCatalogs(cfg *Config) {
	produced := map[dnsname.Name]bool{}
	var names []string
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; z.Produced {
			produced[z.Name] = true
			names = append(names, keyText(z.Name))
		}
	}
	for i := range cfg.Zones {
		entry := &cfg.Zones[i].Entry
		if entry.Catalog == "" || produced[entry.Catalog] {
			continue
		}
		catalog := keyText(entry.Catalog)
		hint := "write " + catalog + ": {produce: true} under catalogs"
		if near, ok := Nearest(catalog, names); ok {
			hint = "did you mean " + quote(near) + "?"
		}
		d.errorAt(keyAt(entry.Pos), "no catalog "+quote(catalog), hint)
	}
}
