package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"gopkg.in/yaml.v3"

	"meridian/dnsname"
)

// UpdateRule allows a key to change records of a zone (RFC 2136).
type UpdateRule struct {
	Key   dnsname.Name
	Names []string // patterns of names relative to the zone, in lower case; * matches any octets, dots included
	Types []uint16 // empty: all
}

// maxUpdateRules is more rules than any zone has.
const maxUpdateRules = 100

// Allows reports whether a rule allows to change records of a type at a name, which is relative to the zone, or "@".
func (r *UpdateRule) Allows(name string, typ uint16) bool {
	return (len(r.Types) == 0 || slices.Contains(r.Types, typ)) &&
		slices.ContainsFunc(r.Names, func(pattern string) bool { return MatchesStar(pattern, name) })
}

// updateRules reads the rules of dynamic updates.
func (d *decoder) updateRules(z *Zone) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			var rule UpdateRule
			ok := d.mapping(item, []field{
				{name: "key", set: d.tsigKey(&rule.Key)},
				{name: "names", set: d.updateNames(&rule.Names, z.Name)},
				{name: "types", set: d.updateTypes(&rule.Types)},
			})
			if ok {
				d.required(item, "key", "write the name of a key of tsig")
				d.required(item, "names", `write the names that it may change, such as ["_acme-challenge", "_acme-challenge.*"]; ["*"] for all`)
			}
			z.Update = append(z.Update, rule)
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one {key: NAME, names: [NAME]}, or leave update out")
			return
		}
		if len(z.Update) > maxUpdateRules {
			d.errorAtKey(n, fmt.Sprintf("%d rules", len(z.Update)), fmt.Sprintf("at most %d", maxUpdateRules))
		}
		switch z.Serial {
		case "":
			z.Serial = UnixtimeSerial
		case KeepSerial:
			d.errorAtKey(n, "serial: keep, and an update has to raise the serial", "write serial: unixtime, increment or date, or leave serial out")
		}
		if len(z.Update) > 0 && d.firstUpdated == (nodeKey{}) {
			d.firstUpdated = nodeKeyOf(n)
		}
	}
}

// checkUpdates reports an error for a configuration with updates that has no place to keep them.
func (d *decoder) checkUpdates(cfg *Config) {
	if d.firstUpdated != (nodeKey{}) && cfg.State == "" {
		d.errorAt(d.firstUpdated, "a zone with updates, and state is not set: updates have to survive a restart", "write state: /var/lib/meridian")
	}
}

func (d *decoder) updateNames(to *[]string, zone dnsname.Name) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			s, ok := d.scalar(item)
			switch {
			case !ok:
			case s == "" || strings.HasSuffix(s, "."):
				d.errorf(item, quote(s)+" is not relative to the zone", `write it without the zone, such as "_acme-challenge.*", or "@" for the zone itself`)
			default:
				d.checkUpdateName(item, s, zone)
				*to = append(*to, strings.ToLower(s))
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", `write ["*"] for all names`)
		}
	}
}

// checkUpdateName reports an error for a pattern that no name matches, and warns of one that repeats the zone.
func (d *decoder) checkUpdateName(item *yaml.Node, s string, zone dnsname.Name) {
	if s == "@" {
		return
	}
	name, err := dnsname.Parse(strings.ReplaceAll(s, "*", "x") + ".")
	switch {
	case err != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		d.errorf(item, quote(s)+" matches no domain name", `write labels with single dots between them, such as "_acme-challenge.*"`)
	case zone != "." && name.Within(zone):
		within := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s)+".", string(zone)), ".")
		d.warn(item, "names are relative to the zone: this is "+quote(s+"."+string(zone)), "write "+quote(cmp.Or(within, "@")))
	}
}

// MadeBySigning reports whether the records of a type are made by signing, and not by updates.
func MadeBySigning(typ uint16) bool {
	switch typ {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return true
	}
	return false
}

func (d *decoder) updateTypes(to *[]uint16) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			s, ok := d.scalar(item)
			typ, err := ParseType(s)
			switch {
			case !ok:
			case err != nil || typ == 0 || typ >= 128 && typ <= 255 || typ == dns.TypeOPT:
				d.errorf(item, quote(s)+" is not a type of data", "write types such as TXT, A or AAAA")
			case MadeBySigning(typ) || typ == dns.TypeDNAME:
				d.errorf(item, quote(s)+" is never changed by an update", "leave it out")
			default:
				*to = append(*to, typ)
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "leave types out for all types")
		}
	}
}
