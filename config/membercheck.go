package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// memberCheck is a check with a member's own settings, from the mapping under its key check. It becomes a [Check] after
// all checks of the file are read.
type memberCheck struct {
	pool   string
	member int     // index in the pool
	at     nodeKey // of the mapping
	keys   []writtenKey
	own    CheckSettings
}

// CheckSettings holds the settings of a check that a member may change; a zero field keeps the setting of the check.
type CheckSettings struct {
	Port    int
	Host    string
	Path    string
	Sources []netip.Addr
}

// writtenKey is a key of a mapping with its position.
type writtenKey struct {
	name string
	at   nodeKey
}

// memberCheckKey reads the key check of a member: the name of a check, none, or a mapping with settings of its own.
func (r *poolReader) memberCheckKey(n *yaml.Node) {
	p, m := &r.pool, &r.member
	if n.Kind != yaml.MappingNode {
		r.memberCheck(&m.Check)(n)
		return
	}
	of := memberCheck{pool: p.Name, member: len(p.Members), at: nodeKeyOf(n)}
	r.mapping(n, []field{
		{name: "use", set: r.usedCheck(&m.Check)},
		{name: "port", set: r.integerInRange(&of.own.Port, 1, maxPort)},
		{name: "host", set: setValue(&of.own.Host, r.host)},
		{name: "path", set: setValue(&of.own.Path, r.requestPath)},
		{name: "source", set: r.probeSources(&of.own.Sources, nil)},
	})
	for key := range yamldoc.Pairs(n) {
		if key.Value != "use" {
			of.keys = append(of.keys, writtenKey{key.Value, nodeKeyOf(key)})
		}
	}
	r.memberChecks = append(r.memberChecks, of)
}

// usedCheck reads the name of the check that a member changes settings of.
func (d *decoder) usedCheck(to *string) setter {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Value == noCheck {
			d.errorf(n, quote(noCheck)+" has no settings", "name a check, or write check: none")
			*to = noCheck // no check has this name
			return
		}
		d.refer(kindCheck, to)(n)
	}
}

// probeSources reads the source addresses of probes: one, or a list with one of each family. It calls found for each of
// them, unless found is nil.
func (d *decoder) probeSources(to *[]netip.Addr, found func(netip.Addr, nodeKey)) setter {
	return func(n *yaml.Node) {
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
			if len(items) == 0 {
				d.errorAtKey(n, "an empty list", "write an address of this machine, or one of each family")
			}
		}
		var all []netip.Addr
		for _, item := range items {
			a, ok := d.unicast(item)
			if !ok {
				continue
			}
			if i := slices.IndexFunc(all, func(b netip.Addr) bool { return b.Is4() == a.Is4() }); i >= 0 {
				d.errorf(item, "a second source of one family, after "+all[i].String(), "at most one IPv4 and one IPv6 address")
				continue
			}
			all = append(all, a)
			if found != nil {
				found(a, nodeKeyOf(item))
			}
		}
		*to = all
	}
}

// deriveChecks adds a check to cfg for each distinct combination of a check and members' own settings, and assigns it
// to those members.
func (d *decoder) deriveChecks(cfg *Config) {
	if len(d.memberChecks) == 0 {
		return
	}
	checks, pools := make(map[string]Check), make(map[string]*Pool)
	for _, c := range cfg.Checks {
		checks[c.Name] = c
	}
	for i := range cfg.Pools {
		pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	for i := range d.memberChecks {
		of := &d.memberChecks[i]
		p := pools[of.pool]
		if p == nil || of.member >= len(p.Members) { // it has an error already
			continue
		}
		d.deriveCheck(cfg, checks, of, &p.Members[of.member])
	}
}

// deriveCheck assigns to m its check with its own settings.
func (d *decoder) deriveCheck(cfg *Config, checks map[string]Check, of *memberCheck, m *Member) {
	base, known := checks[m.Check]
	switch {
	case !m.hasAddresses(): // it has an error already
		return
	case m.Check == "":
		d.errorAt(of.at, "settings without a check", "name the check: use: NAME")
		return
	case !known || base.Type == "":
		return
	}
	if !d.settingsFit(of, &base, m) {
		return
	}
	c := base.with(of.own)
	m.Check = c.Name
	if _, known := checks[c.Name]; !known {
		checks[c.Name] = c
		cfg.Checks = append(cfg.Checks, c)
	}
}

// settingsFit reports whether a check of base's type can use the settings, and m the source.
func (d *decoder) settingsFit(of *memberCheck, base *Check, m *Member) bool {
	fit := true
	for _, key := range of.keys {
		switch what := base.misfitReason(key.name); {
		case what != "":
			d.errorAt(key.at, what, "leave it out")
			fit = false
		case key.name == "source" && !m.hasFamilyOf(of.own.Sources):
			d.errorAt(key.at, fmt.Sprintf("source %s is of another family than the member's addresses", listAddrs(of.own.Sources)),
				"write an address of this machine of the family of "+m.Addresses[0].String())
			fit = false
		}
	}
	return fit
}

// misfitReason returns the reason why a member cannot set a key of the check, or "" if it can.
func (c *Check) misfitReason(key string) string {
	switch {
	case !slices.Contains(typesWith(key), c.Type):
		return fmt.Sprintf("does not fit check %s, of type %s", quote(c.Name), c.Type)
	case c.Unix != "" && (key == "port" || key == "source"):
		return fmt.Sprintf("does not fit check %s, which connects to a unix socket", quote(c.Name))
	}
	return ""
}

// hasFamilyOf reports whether m has, or may have, an address of the family of one of the sources.
func (m *Member) hasFamilyOf(sources []netip.Addr) bool {
	return len(sources) == 0 || len(m.Addresses) == 0 || slices.ContainsFunc(sources, func(s netip.Addr) bool {
		return slices.ContainsFunc(m.Addresses, func(a netip.Addr) bool { return a.Is4() == s.Is4() })
	})
}

func listAddrs(all []netip.Addr) string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return strings.Join(words, " and ")
}

// with returns c with settings in place of its own, or c itself if they change nothing. The name lists the differences,
// in a form that no check of a file can have.
func (c Check) with(s CheckSettings) Check {
	var changes []string
	set := func(what, value string) { changes = append(changes, what+" "+value) }
	if s.Port != 0 && s.Port != c.Port {
		c.Port = s.Port
		set("port", strconv.Itoa(s.Port))
	}
	if s.Host != "" && s.Host != c.Host {
		c.Host = s.Host
		set("host", s.Host)
	}
	if s.Path != "" && s.Path != c.Path {
		c.Path = s.Path
		set("path", s.Path)
	}
	if len(s.Sources) > 0 && !sameAddrs(s.Sources, c.Sources) {
		c.Sources = s.Sources
		set("source", listAddrs(s.Sources))
	}
	if len(changes) > 0 {
		c.Base = c.Name
		c.Name += " (" + strings.Join(changes, ", ") + ")"
	}
	return c
}

// sameAddrs reports whether a and b have the same addresses in any order.
func sameAddrs(a, b []netip.Addr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(of netip.Addr) bool { return !slices.Contains(b, of) })
}
