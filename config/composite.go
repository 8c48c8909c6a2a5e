package config

import (
	"fmt"
	"net/netip"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// CheckPart is one part of a composite check.
type CheckPart struct {
	Check       *Check     // in Config.Checks
	Address     netip.Addr // address with the health state that counts; the zero Addr: the address that uses the composite check
	Critical    bool       // while it is down, the composite check is down
	ObserveOnly bool       // probed, logged and shown, but does not count
}

// Composite reports whether a check is derived from other health states and has no probe of its own.
func (t CheckType) Composite() bool {
	switch t {
	case All, Any, AtLeast, Invert:
		return true
	}
	return false
}

// composite checks the rules that need the whole list of parts.
func (d *decoder) composite(n *yaml.Node, c *Check) {
	d.required(n, "checks", "list its checks")
	list := yamldoc.Child(n, "checks")
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	counted := 0
	for _, p := range c.Parts {
		if !p.ObserveOnly {
			counted++
		}
	}
	switch {
	case len(list.Content) == 0:
		d.errorAtKey(list, "an empty list", "write at least one check")
	case len(list.Content) > len(c.Parts): // the other parts have an error already
	case c.Type == Invert && len(c.Parts) != 1:
		d.errorAtKey(list, fmt.Sprintf("%d checks", len(c.Parts)), "invert takes exactly one")
	case counted == 0:
		d.errorAtKey(list, "every check is observe_only", "at least one must count")
	case c.Type == AtLeast:
		d.atLeast(n, c, counted)
	}
}

// atLeast reads the number of counted parts that must be up.
func (d *decoder) atLeast(n *yaml.Node, c *Check, counted int) {
	d.required(n, "n", fmt.Sprintf("write how many must be up, 1 to %d", counted))
	if node := yamldoc.Child(n, "n"); node != nil {
		c.N, _ = d.integer(node, 1, counted)
	}
}

// parts reads the parts of a composite check.
func (d *decoder) parts(c *Check) setter {
	return func(n *yaml.Node) {
		type target struct {
			check string
			addr  netip.Addr
		}
		first := make(map[target]Pos)
		d.list(n, func(item *yaml.Node) {
			p, ok := d.part(item, c)
			if !ok {
				return
			}
			to := target{p.Check.Name, p.Address}
			if at, twice := first[to]; twice {
				d.errorf(item, "check "+quote(p.Check.Name)+" is listed twice", d.firstAt(at, item))
			}
			first[to] = posOf(item)
			c.Parts = append(c.Parts, p)
		})
	}
}

// part reads the name of a check, or a mapping with a check and options. Until link, its Check has only the name.
func (d *decoder) part(n *yaml.Node, whole *Check) (p CheckPart, ok bool) {
	name, at := "", n
	if n.Kind == yaml.MappingNode {
		d.mapping(n, []field{
			{name: "check", set: d.refer(kindCheck, &name)},
			{name: "address", set: setValue(&p.Address, d.unicast)},
			{name: "critical", set: d.flag(&p.Critical)},
			{name: "observe_only", set: d.flag(&p.ObserveOnly)},
		})
		d.required(n, "check", "name a check")
		d.checkPartOptions(n, p, whole)
		at = yamldoc.Child(n, "check")
	} else {
		d.refer(kindCheck, &name)(n)
	}
	if name == "" {
		return p, false
	}
	d.checkEdges[whole.Name] = append(d.checkEdges[whole.Name], edge{to: name, at: nodeKeyOf(at)})
	p.Check = &Check{Name: name}
	return p, true
}

// checkPartOptions rejects options that a part cannot have.
func (d *decoder) checkPartOptions(n *yaml.Node, p CheckPart, whole *Check) {
	switch {
	case p.Critical && p.ObserveOnly:
		d.errorf(yamldoc.Child(n, "observe_only"), "observe_only beside critical", "an observed check does not count: write one of the two")
	case p.Critical && whole.Type == Invert:
		d.errorf(yamldoc.Child(n, "critical"), "critical does not fit a check of type invert", "it is up while its part is down")
	}
}

// link resolves the check names in the parts of composite checks.
func (c *Config) link() {
	named := make(map[string]*Check)
	for i := range c.Checks {
		named[c.Checks[i].Name] = &c.Checks[i]
	}
	for i := range c.Checks {
		parts := c.Checks[i].Parts
		for j := range parts {
			parts[j].Check = named[parts[j].Check.Name]
		}
	}
}
