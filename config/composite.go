package config

import (
	"fmt"
	"net/netip"

	"gopkg.in/yaml.v3"
)

// CheckPart is a check that a composite one is made of.
type CheckPart struct {
	Check       *Check     // in Config.Checks
	Address     netip.Addr // whose verdict counts; the zero Addr: the address that the composite is about
	Critical    bool       // down, it takes the composite down whatever the others are
	ObserveOnly bool       // probed, logged and shown, and of no consequence
}

// Composite reports whether a check is derived from the verdicts of others,
// and so has no probe of its own.
func (t CheckType) Composite() bool {
	switch t {
	case All, Any, AtLeast, Invert:
		return true
	}
	return false
}

// composite reads what only the whole list of a composite's parts shows.
func (d *decoder) composite(n *yaml.Node, c *Check) {
	d.required(n, "checks", "write the checks that it is made of as a list")
	list := child(n, "checks")
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
	case len(list.Content) > len(c.Parts): // these have a fault already
	case c.Type == Invert && len(c.Parts) != 1:
		d.errorAtKey(list, fmt.Sprintf("%d checks", len(c.Parts)), "invert takes exactly one")
	case counted == 0:
		d.errorAtKey(list, "every check is observe_only", "at least one must count")
	case c.Type == AtLeast:
		d.atLeast(n, c, counted)
	}
}

// atLeast reads how many of the parts that count must be up.
func (d *decoder) atLeast(n *yaml.Node, c *Check, counted int) {
	d.required(n, "n", fmt.Sprintf("write how many must be up, 1 to %d", counted))
	if node := child(n, "n"); node != nil {
		c.N, _ = d.integer(node, 1, counted)
	}
}

// parts reads the list of checks that a composite one is made of.
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

// part reads the name of a check, or a mapping with more to say of it. Its
// Check has but the name until link.
func (d *decoder) part(n *yaml.Node, whole *Check) (p CheckPart, ok bool) {
	name, at := "", n
	if n.Kind == yaml.MappingNode {
		d.mapping(n, []field{
			{name: "check", set: d.refer(kindCheck, &name)},
			{name: "address", set: into(&p.Address, d.unicast)},
			{name: "critical", set: d.flag(&p.Critical)},
			{name: "observe_only", set: d.flag(&p.ObserveOnly)},
		})
		d.required(n, "check", "name a check")
		d.partDecides(n, p, whole)
		at = child(n, "check")
	} else {
		d.refer(kindCheck, &name)(n)
	}
	if name == "" {
		return p, false
	}
	d.composed[whole.Name] = append(d.composed[whole.Name], edge{to: name, at: nodeKeyOf(at)})
	p.Check = &Check{Name: name}
	return p, true
}

// partDecides says where a part is given a say that it cannot have.
func (d *decoder) partDecides(n *yaml.Node, p CheckPart, whole *Check) {
	switch {
	case p.Critical && p.ObserveOnly:
		d.errorf(child(n, "observe_only"), "observe_only beside critical", "what is only observed decides nothing: write one of the two")
	case p.Critical && whole.Type == Invert:
		d.errorf(child(n, "critical"), "critical does not fit a check of type invert", "it is up while its part is down")
	}
}

// link gives the parts of composite checks the checks that they name.
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
