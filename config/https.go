package config

import (
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// Service is the HTTPS record of a balanced name (RFC 9460) without its address hints, which the pool selects for each
// client.
type Service struct {
	Priority      int          // 1..65535
	Target        dnsname.Name // the name of the service's host; ".": the name itself
	ALPN          []string     // protocols in addition to http/1.1
	NoDefaultALPN bool         // http/1.1 is not supported
	Port          int          // 0: that of the URL
	Hints         bool         // the record has the addresses that the pool selects
	Pos           Pos
}

// protocols returns the ALPN names of the HTTP versions over TLS.
func protocols() []string { return []string{"h2", "h3", impliedProtocol} }

// impliedProtocol is the default of an HTTPS record (RFC 9460 9.5).
const impliedProtocol = "http/1.1"

// https reads the content of a name's HTTPS record besides the addresses.
func (d *decoder) https(to **Service) setter {
	return func(n *yaml.Node) {
		s := d.defaults.service
		s.Pos = posOf(n)
		ok := d.mapping(n, []field{
			{name: "alpn", set: d.alpn(&s.ALPN)},
			{name: "hints", set: d.flag(&s.Hints)},
			{name: "no_default_alpn", set: d.flag(&s.NoDefaultALPN)},
			{name: "port", set: d.integerInRange(&s.Port, 1, 65535)},
			{name: "priority", set: setValue(&s.Priority, d.priority)},
			{name: "target", set: setValue(&s.Target, d.serviceTarget)},
		})
		if !ok {
			return
		}
		if s.NoDefaultALPN && slices.Contains(s.ALPN, impliedProtocol) {
			d.errorf(yamldoc.Child(n, "no_default_alpn"), "no_default_alpn beside "+impliedProtocol+", which is the default", "leave one of them out")
		}
		*to = &s
	}
}

// alpn reads the protocols of a service.
func (d *decoder) alpn(to *[]string) setter {
	return func(n *yaml.Node) {
		var list []string
		ok := d.list(n, func(item *yaml.Node) {
			protocol, ok := d.oneOf(item, "protocol", protocols())
			switch {
			case !ok:
			case slices.Contains(list, protocol):
				d.errorf(item, quote(protocol)+" is listed twice", "leave one out")
			default:
				list = append(list, protocol)
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one of the protocols, or leave the key out")
		}
		*to = list
	}
}

// priority reads the priority of a service record; 0 would make it an alias (RFC 9460 2.4.1).
func (d *decoder) priority(n *yaml.Node) (int, bool) {
	if n.Kind == yaml.ScalarNode && n.Value == "0" {
		d.errorf(n, "priority 0 makes the record an alias", "1 to 65535; a pool's member with a cname is an alias for all types")
		return 0, false
	}
	return d.integer(n, 1, 65535)
}

// serviceTarget reads the name of the service's host: "." for the name of the record itself.
func (d *decoder) serviceTarget(n *yaml.Node) (dnsname.Name, bool) {
	if n.Kind == yaml.ScalarNode && n.Value == "." {
		return ".", true
	}
	return d.hostName(n)
}
