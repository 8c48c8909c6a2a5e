package config

import (
	"strings"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

func (d *decoder) zones(to *[]Zone) setter {
	return func(n *yaml.Node) {
		userMapping(d, n, d.zoneName, func(name dnsname.Name, key, value *yaml.Node) {
			z := d.defaults.zone
			z.Name, z.Pos = name, posOf(key)
			d.zone(value, &z)
			*to = append(*to, z)
		})
	}
}

// domain reads an absolute domain name.
func (d *decoder) domain(n *yaml.Node) (dnsname.Name, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	return d.domainName(n, s)
}

func (d *decoder) domainName(n *yaml.Node, s string) (dnsname.Name, bool) {
	name, err := dnsname.Parse(s)
	if err != nil {
		d.errorf(n, err.Error(), "")
		return "", false
	}
	return name, true
}

func (d *decoder) zoneName(n *yaml.Node) (dnsname.Name, bool) {
	name, ok := d.domain(n)
	if ok && strings.Contains(string(name), "*") {
		d.errorf(n, "a zone has no wildcard in its name", `write the wildcard under the zone's names, such as "*"`)
		return "", false
	}
	return name, ok
}

func (d *decoder) zone(n *yaml.Node, z *Zone) {
	var names, nameservers, transfer, update, allow, deny *yaml.Node
	ok := d.mapping(n, []field{
		{name: "nameservers", set: capture(&nameservers)},
		{name: "contact", set: setValue(&z.Contact, d.mailbox)},
		{name: "ttl", set: d.answerTTL(&z.TTL, &z.DegradedTTL)},
		{name: "negative_ttl", set: d.ttl(&z.NegativeTTL)},
		{name: "file", set: d.path(&z.File, &z.FilePos)},
		{name: "names", set: capture(&names)},
		{name: "allow", set: capture(&allow)},
		{name: "deny", set: capture(&deny)},
		{name: "dnssec", set: d.zonePolicy(z)},
		{name: "family", set: choose(d, &z.Family, "family", WidenFamily, StrictFamily)},
		{name: "variety", set: d.integerInRange(&z.Variety, 1, mostVariety)},
		{name: "rotate", set: d.rotate(&z.Rotate)},
		{name: "extra_dnskeys", set: d.path(&z.ExtraDNSKEYs, &z.ExtraDNSKEYPos)},
		{name: "transfer", set: capture(&transfer)},
		{name: "catalog", set: d.catalogEntry(&z.Entry)},
		{name: "serial", set: d.serial(z)},
		{name: "journal", set: d.journal(&z.Journal)},
		{name: "update", set: capture(&update)},
		{name: "primaries", set: d.primaries(&z.Primaries)},
		{name: "max_size", set: d.size(&z.MaxSize, leastMaxSize, mostMaxSize)},
	})
	if !ok {
		return
	}
	if extra := yamldoc.Child(n, "extra_dnskeys"); extra != nil && (z.DNSSEC == "" || z.DNSSEC == Unsigned) {
		d.errorf(extra, "the zone is not signed here", "write dnssec: default, or leave extra_dnskeys out")
	}
	if transfer != nil {
		d.transfer(z)(transfer)
		d.checkOwnSerials(transfer, z)
	}
	if update != nil {
		d.updateRules(z)(update)
	}
	d.noteAnswerSettings(n, z)
	d.warnUnusedJournal(n, z)
	d.access(allow, deny, &z.Access)
	d.checkPrimaries(n, z)
	if yamldoc.Child(n, "file") == nil && yamldoc.Child(n, "primaries") == nil {
		const origin = "SOA and NS are made from nameservers and contact, or come from file"
		d.required(n, "nameservers", origin)
		d.required(n, "contact", origin)
	}
	var balanced map[dnsname.Name]Pos
	if names != nil {
		balanced = d.balancedNames(names, z)
	}
	if nameservers != nil {
		d.nameservers(nameservers, z, balanced)
	}
}

// warnUnusedJournal warns of a journal of a zone without kept changes.
func (d *decoder) warnUnusedJournal(n *yaml.Node, z *Zone) {
	if at := yamldoc.Child(n, "journal"); at != nil && !z.Journaled() && len(z.Primaries) == 0 {
		d.warn(at, "no effect: no changes of this zone are kept", "write transfer or update, or serial: increment or date, or leave journal out")
	}
}

// noteAnswerSettings keeps the position of family, and warns of variety in a zone that is not signed here.
func (d *decoder) noteAnswerSettings(n *yaml.Node, z *Zone) {
	if family := yamldoc.Child(n, "family"); family != nil {
		z.FamilyPos = posOf(family)
	}
	if variety := yamldoc.Child(n, "variety"); variety != nil && (z.DNSSEC == "" || z.DNSSEC == Unsigned) {
		d.warn(variety, "no effect: the zone is not signed here", "write dnssec: default, or leave variety out")
	}
}

// rotate reads the setting of a zone that may be other than the server's.
func (d *decoder) rotate(to **bool) setter {
	return setValue(to, func(n *yaml.Node) (*bool, bool) {
		rotate, ok := d.boolean(n)
		return &rotate, ok
	})
}

// Rotates reports whether the records of a static set in z begin at another one for each query.
func (c *Config) Rotates(z *Zone) bool {
	if z.Rotate != nil {
		return *z.Rotate
	}
	return c.Server.Rotate
}

// mailbox reads the contact of a zone in SOA RNAME form: the local part is one label, its dots escaped (RFC 1035 8).
func (d *decoder) mailbox(n *yaml.Node) (dnsname.Name, bool) {
	s, ok := d.word(n)
	if !ok {
		return "", false
	}
	local, host, found := strings.Cut(s, "@")
	if !found || local == "" || strings.ContainsAny(local, `\"()<>,;: `) {
		d.errorf(n, quote(s)+" is not a mailbox", "write it like hostmaster@example.com")
		return "", false
	}
	if _, ok := d.domainName(n, host); !ok {
		return "", false
	}
	return d.domainName(n, strings.ReplaceAll(local, ".", `\.`)+"."+host)
}

func (d *decoder) nameservers(n *yaml.Node, z *Zone, balanced map[dnsname.Name]Pos) {
	userMapping(d, n, d.nameserverName, func(name dnsname.Name, key, value *yaml.Node) {
		ns := Nameserver{Name: name, Pos: posOf(key)}
		if name.Within(z.Name) {
			d.insideNameserver(key, value, &ns)
			if balanced[name] != (Pos{}) && len(ns.Addresses) > 0 {
				d.errorf(key, "nameserver "+quote(string(name))+" is under names too", "its addresses are either its own or a pool's")
			}
		} else {
			d.outsideNameserver(value, z)
		}
		z.Nameservers = append(z.Nameservers, ns)
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.errorAtKey(n, "no nameserver", "a zone has at least one")
	}
}

func (d *decoder) nameserverName(n *yaml.Node) (dnsname.Name, bool) {
	name, ok := d.domain(n)
	if ok && strings.Contains(string(name), "*") {
		d.errorf(n, quote(n.Value)+" is not a host name", "write it like ns1.example.com")
		return "", false
	}
	return name, ok
}

// insideNameserver reads the addresses of a nameserver with a name inside the zone.
func (d *decoder) insideNameserver(key, value *yaml.Node, ns *Nameserver) {
	if yamldoc.IsNull(value) || value.Kind == yaml.SequenceNode && len(value.Content) == 0 {
		d.errorf(key, "nameserver "+quote(key.Value)+" is inside the zone and has no address", "give it the list of its addresses")
		return
	}
	d.unicasts(&ns.Addresses)(value)
}

// outsideNameserver requires that a nameserver outside the zone has no address here: its own zone provides it and could
// contradict.
func (d *decoder) outsideNameserver(value *yaml.Node, z *Zone) {
	if yamldoc.IsNull(value) {
		return
	}
	if d.kind(value, yaml.SequenceNode) && len(value.Content) > 0 {
		d.errorf(value, "an address for a nameserver outside zone "+quote(string(z.Name)), "write []: its own zone provides its addresses")
	}
}

// poolsAnswers is a placeholder for a name's answers until its pool is known.
const poolsAnswers = -1

// balancedNames reads the names of z, and returns the position of each. There may be millions: their keys are bound
// once, to the current name.
func (d *decoder) balancedNames(n *yaml.Node, z *Zone) map[dnsname.Name]Pos {
	parse := func(key *yaml.Node) (dnsname.Name, bool) { return d.balancedName(key, z.Name) }
	var (
		b      BalancedName
		views  *yaml.Node
		whoami bool
	)
	keys := append(d.bindingKeys(&b),
		field{name: "https", set: d.https(&b.HTTPS)}, field{name: "ecs", set: d.ecs(&b.ECS)}, field{name: "views", set: capture(&views)},
		field{name: "whoami", set: setValue(&whoami, d.onlyTrue)})
	z.Names = make([]BalancedName, 0, d.doc.Count(n))
	return userMapping(d, n, parse, func(name dnsname.Name, key, value *yaml.Node) {
		b, views, whoami = BalancedName{Name: name, TTL: z.TTL, DegradedTTL: z.DegradedTTL, Answers: poolsAnswers, Pos: posOf(key)}, nil, false
		if d.mapping(value, keys) && !whoami {
			d.exactlyOne(value, "pool", "whoami")
		}
		if whoami {
			d.whoami(value, z)
			z.Whoami = append(z.Whoami, WhoamiName{Name: name, Pos: posOf(key)})
			return
		}
		if views != nil {
			d.nameViews(views, z, b)
		}
		d.bindAAAA(value, &b)
		z.Names = append(z.Names, b)
	})
}

// whoami checks the mapping of a name that answers with the addresses of the query: it has no other key, and its zone is
// not signed, because every resolver and client subnet would need a signature.
func (d *decoder) whoami(n *yaml.Node, z *Zone) {
	for key := range yamldoc.Pairs(n) {
		if key.Value != "whoami" {
			d.errorf(key, key.Value+" beside whoami", "write {whoami: true} alone: the answer is the source of the query, with TTL 0")
		}
	}
	if z.DNSSEC != "" && z.DNSSEC != Unsigned {
		d.errorf(yamldoc.Child(n, "whoami"), "whoami in a signed zone: every source would need a signature",
			"put the name into a zone that is not signed, such as "+quote("whoami."+strings.TrimSuffix(string(z.Name), ".")))
	}
}

// Path returns the path of a zone or a catalog in the configuration, as an operator writes it.
func (z *Zone) Path() string {
	section, key := "zones.", strings.TrimSuffix(string(z.Name), ".")
	if z.InCatalogs() {
		section = "catalogs."
	}
	if z.Name == "." {
		key = "."
	}
	return section + key
}

// onlyTrue reads a flag that is left out rather than false.
func (d *decoder) onlyTrue(n *yaml.Node) (value, ok bool) {
	value, ok = d.boolean(n)
	if ok && !value {
		d.errorf(n, "false has no meaning here", "write true, or leave the key out")
	}
	return value, ok
}

// balancedName reads a name under a zone: relative to it, "@" for the zone itself, or absolute with a final dot.
func (d *decoder) balancedName(key *yaml.Node, zone dnsname.Name) (dnsname.Name, bool) {
	s := key.Value
	full := s
	switch {
	case s == "@":
		return zone, true
	case s == "" || absolute(s):
	case zone == ".":
		full = s + "."
	default:
		full = s + "." + string(zone)
	}
	name, ok := d.domainName(key, full)
	switch {
	case !ok:
		return "", false
	case !name.Within(zone):
		d.errorf(key, quote(s)+" is outside zone "+quote(string(zone)), "names here are relative, or absolute and in the zone")
		return "", false
	case strayAsterisk(string(name)):
		d.errorf(key, quote(s)+" has an asterisk that is no wildcard", `a wildcard is a whole first label: "*" or "*.t"`)
		return "", false
	case len(full) > len(s) && zone != ".":
		d.twiceInZone(key, name, zone)
	}
	return name, true
}

// absolute reports whether s ends in a dot that is not escaped.
func absolute(s string) bool {
	head, ok := strings.CutSuffix(s, ".")
	return ok && (len(head)-len(strings.TrimRight(head, `\`)))%2 == 0
}

// strayAsterisk reports whether a name has an asterisk other than as its whole first label (RFC 4592 2.1.1).
func strayAsterisk(name string) bool {
	return strings.Contains(strings.TrimPrefix(name, "*."), "*")
}

// twiceInZone warns of www.example.com under zone example.com without a final dot.
func (d *decoder) twiceInZone(key *yaml.Node, name, zone dnsname.Name) {
	written := name[:len(name)-len(zone)]
	if written.Within(zone) {
		d.warn(key, "this is "+quote(string(name)), "end it in a dot for "+quote(string(written)))
	}
}
