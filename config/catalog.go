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
const noServer dnsname.Name = "invalid."

// catalogs reads the catalogs: zones that list the zones of this server for others, or those of others for this one.
func (d *decoder) catalogs(to *[]Zone) setter {
	return func(n *yaml.Node) {
		userMapping(d, n, d.zoneName, func(name dnsname.Name, key, value *yaml.Node) {
			z := d.defaults.zone
			z.Name, z.Pos = name, posOf(key)
			d.catalog(value, &z)
			*to = append(*to, z)
		})
	}
}

func (d *decoder) catalog(n *yaml.Node, z *Zone) {
	var transfer, allow, deny, grace, template, groups *yaml.Node
	if !d.mapping(n, []field{
		{name: "produce", set: setValue(&z.Produced, d.onlyTrue)},
		{name: "primaries", set: d.primaries(&z.Primaries)},
		{name: "max_size", set: d.size(&z.MaxSize, leastMaxSize, mostMaxSize)},
		{name: "removal_grace", set: capture(&grace)},
		{name: "template", set: capture(&template)},
		{name: "groups", set: capture(&groups)},
		{name: "serial", set: d.serial(z)},
		{name: "journal", set: d.journal(&z.Journal)},
		{name: "transfer", set: capture(&transfer)},
		{name: "allow", set: capture(&allow)},
		{name: "deny", set: capture(&deny)},
	}) {
		return
	}
	d.exactlyOne(n, "produce", "primaries")
	if transfer != nil {
		d.transfer(z)(transfer)
		d.checkOwnSerials(transfer, z)
	}
	d.access(allow, deny, &z.Access)
	consumer := d.consumer(grace, template, groups)
	if yamldoc.Child(n, "primaries") != nil {
		z.Consumed = consumer
		d.checkConsumed(n, z)
		return
	}
	if noServer.Within(z.Name) { // the server would be within the zone, and need an address
		d.errorAt(keyAt(z.Pos), "a catalog cannot be named "+quote(keyText(z.Name))+": its nameserver is invalid., as that of all catalogs", "write a name within it, such as catalog.invalid")
		return
	}
	z.Nameservers, z.Contact = []Nameserver{{Name: noServer, Pos: z.Pos}}, noServer
	d.checkProducedOnly(n)
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
	produced, consumed := map[dnsname.Name]bool{}, map[dnsname.Name]bool{}
	var names []string
	for i := range cfg.Zones {
		switch z := &cfg.Zones[i]; {
		case z.Produced:
			produced[z.Name] = true
			names = append(names, keyText(z.Name))
		case z.Consumed != nil:
			consumed[z.Name] = true
		}
	}
	for i := range cfg.Zones {
		entry := &cfg.Zones[i].Entry
		switch {
		case entry.Catalog == "" || produced[entry.Catalog]:
			continue
		case consumed[entry.Catalog]:
			d.errorAt(keyAt(entry.Pos), "catalog "+quote(keyText(entry.Catalog))+" is made by other servers", "add the zone there, or name a catalog with produce: true")
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
