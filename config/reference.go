package config

import (
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// kind is a kind of object that one part of the file defines and others name.
type kind string

const (
	kindRegion kind = "region"
	kindCheck  kind = "check"
	kindLoad   kind = "load"
	kindPool   kind = "pool"
	kindGroup  kind = "group"
	kindView   kind = "view"

	kindSigning kind = "DNSSEC policy"
	kindTSIG    kind = "TSIG key"
)

// section returns the key under which objects of a kind are defined.
func (k kind) section() string {
	switch k {
	case kindGroup:
		return "geo.groups"
	case kindSigning:
		return "dnssec.policies"
	case kindTSIG:
		return "tsig"
	}
	return string(k) + "s"
}

// defined holds the objects of one kind by name.
type defined map[string]*definition

// definition is one object that the file defines.
type definition struct {
	name string
	at   nodeKey // of the key
	used bool    // something refers to it
}

// reference is a name that must be defined somewhere in the file.
type reference struct {
	kind kind
	name string
	at   nodeKey
}

// refer reads the name of an object of kind k.
func (d *decoder) refer(k kind, into *string) setter {
	return func(n *yaml.Node) {
		name, ok := d.word(n)
		if !ok {
			return
		}
		if def := d.declared[k][name]; def != nil {
			*into, def.used = def.name, true
			return
		}
		*into = name
		d.references = append(d.references, reference{k, name, nodeKeyOf(n)})
	}
}

// define reads a section of the file: a mapping from names of kind k, which other parts may refer to.
func (d *decoder) define(k kind, entry func(name string, key, value *yaml.Node)) setter {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			delete(d.declared, k)
		}
		userMapping(d, n, d.identifier, func(name string, key, value *yaml.Node) {
			d.declared[k][name] = &definition{name: name, at: nodeKeyOf(key)}
			entry(name, key, value)
		})
	}
}

// identifier reads the name of a region, check, pool or member. Command lines and logs separate such names by spaces,
// slashes and colons.
func (d *decoder) identifier(n *yaml.Node) (string, bool) {
	name, ok := d.word(n)
	if !ok {
		return "", false
	}
	if strings.ContainsFunc(name, notInIdentifier) {
		d.errorf(n, quote(name)+" cannot be a name", "a name has no space, no control character, no / and no :")
		return "", false
	}
	return name, true
}

func notInIdentifier(r rune) bool {
	return r <= ' ' || r == 0x7f || r == '/' || r == ':' || r == '\u0085' || r == '\u00a0'
}

// resolve finds errors that only the whole file shows: undefined references, and cycles of pools and of checks.
func (d *decoder) resolve() {
	hints := make(map[reference]string) // by kind and name only
	for _, ref := range d.references {
		known, readable := d.declared[ref.kind]
		if def := known[ref.name]; def != nil {
			def.used = true
			continue
		}
		if !readable {
			continue
		}
		named := reference{kind: ref.kind, name: ref.name}
		hint, ok := hints[named]
		if !ok {
			hint = d.hint(ref, len(hints))
			hints[named] = hint
		}
		d.errorAt(ref.at, "no "+string(ref.kind)+" "+quote(ref.name), hint)
	}
	cycles{d, kindPool, d.poolEdges, "a pool cannot contain itself"}.find()
	cycles{d, kindCheck, d.checkEdges, "a check cannot contain itself"}.find()
}

// The limits of comparing unknown names with known ones: a file full of errors is reported as fast as another.
const (
	maxNearest = 100     // unknown names
	maxPairs   = 500_000 // comparisons, after the first name's
)

func (d *decoder) hint(ref reference, before int) string {
	define := "define it under " + ref.kind.section()
	known := d.declared[ref.kind]
	if before >= maxNearest || before*len(known) > maxPairs {
		return define
	}
	if near, ok := Nearest(ref.name, slices.Sorted(maps.Keys(known))); ok {
		return "did you mean " + quote(near) + "?"
	}
	return define
}

// edge is a pool as a member of another, or a check as a part of another.
type edge struct {
	to string
	at nodeKey // position in the file
}

// cycles searches the objects of one kind for those that contain themselves.
type cycles struct {
	*decoder
	kind  kind
	edges map[string][]edge
	hint  string
}

// find reports an error at the closing edge of each cycle.
func (c cycles) find() {
	done := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(c.edges)) {
		c.descend(name, nil, done)
	}
}

// descend follows the objects in name, reached along trail.
func (c cycles) descend(name string, trail []string, done map[string]bool) {
	if done[name] {
		return
	}
	trail = append(trail, name)
	for _, e := range c.edges[name] {
		if i := slices.Index(trail, e.to); i >= 0 {
			loop := append(slices.Clone(trail[i:]), e.to)
			c.errorAt(e.at, string(c.kind)+" cycle: "+strings.Join(loop, " -> "), c.hint)
			continue
		}
		c.descend(e.to, trail, done)
	}
	done[name] = true
}
