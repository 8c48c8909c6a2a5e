package zones

import (
	"slices"
	"sort"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// Chains holds the names that have NSEC records, for the zones that deny by them: each zone's in canonical order, in a
// ring (RFC 4034 4.1.1). It is immutable.
//
// A name has one if it has records, a pool or a delegation. An empty non-terminal has none, and neither have names at or
// below another zone's.
type Chains struct {
	data     *Data
	order    []NodeID
	position []uint32 // by NodeID: the index in order, plus 1; 0: no NSEC record
	zones    []run    // by ZoneID
}

// run is the part of Chains.order that belongs to a zone.
type run struct{ first, count uint32 }

// NewChains returns the chains of the wanted zones, by ZoneID; nil if there are none.
func (s *Data) NewChains(wanted []bool) *Chains {
	if !slices.Contains(wanted, true) {
		return nil
	}
	c := &Chains{data: s, position: make([]uint32, s.count()), zones: make([]run, len(s.zones))}
	for id := NodeID(1); id < s.count(); id++ {
		if wanted[s.node(id).zone] && s.InChain(id) {
			c.order = append(c.order, id)
		}
	}
	slices.SortFunc(c.order, func(a, b NodeID) int {
		if za, zb := s.node(a).zone, s.node(b).zone; za != zb {
			return int(za) - int(zb)
		}
		return s.NodeName(a).Compare(s.NodeName(b))
	})
	for i, id := range c.order {
		c.position[id] = uint32(i) + 1
		z := &c.zones[s.node(id).zone]
		if z.count == 0 {
			z.first = uint32(i)
		}
		z.count++
	}
	return c
}

// InChain reports whether a node has an NSEC record.
func (s *Data) InChain(id NodeID) bool {
	n := s.node(id)
	if s.Presigned(n.zone) != nil {
		if _, ok := s.RRset(id, dns.TypeNSEC); !ok {
			return false // also if it is the parent side of an apex that the zone does not delegate
		}
	}
	switch {
	case n.flags.has(isHashed):
		return false
	case n.flags.has(isAbove):
		apex := s.find(s.NodeName(id))
		return s.zones[s.node(apex).zone].above == id // else a cut lies between the two zones
	case n.cover != 0 && n.cover != id:
		return false
	}
	return n.sets > 0 || n.flags.has(isBalanced)
}

// At returns the node whose NSEC record matches a node, or covers it if it is an empty non-terminal.
func (c *Chains) At(node NodeID) NodeID {
	if c.position[node] != 0 {
		return node
	}
	return c.Before(c.data.node(node).zone, c.data.NodeName(node))
}

// Next returns the name after that of a node in the zone's ring. The node has an NSEC record.
func (c *Chains) Next(node NodeID) dnsname.Wire {
	z := c.zones[c.data.node(node).zone]
	at := c.position[node] // that of the next node, unless the node is the last one
	if at == z.first+z.count {
		at = z.first
	}
	return c.data.NodeName(c.order[at])
}

// Before returns the node whose NSEC record matches or covers a name of a zone, in lower case: the last one that is not
// after the name. It returns 0 if there is none.
func (c *Chains) Before(zone ZoneID, name dnsname.Wire) NodeID {
	z := c.zones[zone]
	if z.count == 0 {
		return 0 // a presigned zone without NSEC records
	}
	nodes := c.order[z.first : z.first+z.count]
	after := sort.Search(len(nodes), func(i int) bool { return c.data.NodeName(nodes[i]).Compare(name) > 0 })
	return nodes[max(after, 1)-1] // the apex is the first
}

// AppendWildcard appends the name of the wildcard that would match a name that does not exist: that below its closest
// encloser (RFC 4592 3.3.1).
func (s *Data) AppendWildcard(dst []byte, name dnsname.Wire) []byte {
	dst = append(dst, 1, '*')
	return append(dst, s.Encloser(name)...)
}

// Encloser returns the closest name above name that exists. Do not change it.
func (s *Data) Encloser(name dnsname.Wire) dnsname.Wire { return s.NodeName(s.encloser(name)) }

// GivesCName reports whether a pool may answer for node with a CNAME, to any client.
func (s *Data) GivesCName(node NodeID) bool {
	n := s.node(node)
	if !n.flags.has(isBalanced) {
		return false
	}
	for b := range s.bindingsOf(n) {
		if b.CName != NoCName {
			return true
		}
	}
	return false
}

// ZoneOf returns the zone of a node.
func (s *Data) ZoneOf(node NodeID) ZoneID { return s.node(node).zone }
