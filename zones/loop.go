package zones

import (
	"slices"

	"meridian/dnsname"

	"github.com/miekg/dns"
)

// maxAliases is the number of names that an answer passes through.
const maxAliases = 16

// checkLoop warns of a CNAME or DNAME that leads back to itself, so that clients get no address, and of a chain that is
// longer than an answer. A loop is reported once, at its first name.
func (c *compiler) checkLoop(id NodeID) {
	alias, at, ok := c.aliasAt(id)
	if !ok {
		return
	}
	name := alias.sample()
	passed := []NodeID{id}
	for range maxAliases - 1 {
		next, more := c.aliasOf(name)
		switch {
		case !more:
			return
		case next.node == id && slices.Min(passed) == id:
			c.warnf(at, "give one name of the loop an address", "the %s of %s leads back to itself", alias.kind(), c.quoted(id))
			return
		case slices.Contains(passed, next.node): // a loop of other names
			return
		}
		passed = append(passed, next.node)
		if name = next.follow(name); name == nil {
			return
		}
	}
	if c.s.Lookup(name, dns.TypeA).Kind != Refused {
		c.warnf(at, "point it closer to the end of the chain", "the %s of %s leads through more than %d names: an answer ends there",
			alias.kind(), c.quoted(id), maxAliases)
	}
}

// aliasRecord is a CNAME or DNAME.
type aliasRecord struct {
	node   NodeID
	owner  []byte // of a DNAME; nil for a CNAME
	target []byte
}

func (a *aliasRecord) kind() string {
	if a.owner != nil {
		return "DNAME"
	}
	return "CNAME"
}

// sample returns a name that the record leads to: for a DNAME, below its target.
func (a *aliasRecord) sample() []byte {
	if a.owner == nil {
		return a.target
	}
	return append([]byte{1, 0}, a.target...) // a label that no zone has
}

// follow returns the name that the record leads name to; nil if that is too long.
func (a *aliasRecord) follow(name []byte) []byte {
	if a.owner == nil {
		return a.target
	}
	prefix := name[:len(name)-len(a.owner)]
	if len(prefix)+len(a.target) > dnsname.MaxSize {
		return nil
	}
	return append(slices.Clone(prefix), a.target...)
}

// aliasAt returns the CNAME or DNAME of a node, and its position.
func (c *compiler) aliasAt(id NodeID) (aliasRecord, place, bool) {
	a, typ := aliasRecord{node: id}, dns.TypeCNAME
	if c.s.nodes[id].flags.has(isDName) {
		a.owner, typ = c.s.NodeName(id), dns.TypeDNAME
	}
	set, at, ok := c.setOf(id, typ)
	if !ok {
		return a, at, false
	}
	for target := range c.targets(set) {
		a.target = target
	}
	return a, at, true
}

// aliasOf returns the record that a name in our zones is an alias by.
func (c *compiler) aliasOf(name []byte) (aliasRecord, bool) {
	m := c.s.Lookup(name, dns.TypeA)
	switch m.Kind {
	case Exact, Wildcard, DName:
		a, _, ok := c.aliasAt(m.Node)
		return a, ok && (a.owner != nil) == (m.Kind == DName)
	}
	return aliasRecord{}, false
}

// aliased returns the node in our zones that the CNAME at a node points to. It returns false without a CNAME, or if
// the target is outside our zones or does not exist.
func (c *compiler) aliased(id NodeID) (NodeID, bool) {
	a, _, ok := c.aliasAt(id)
	if !ok || a.owner != nil {
		return 0, false
	}
	m := c.s.Lookup(a.target, dns.TypeA)
	return m.Node, m.Kind == Exact || m.Kind == Wildcard
}
