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
	wanted   []bool     // by ZoneID
	zones    [][]NodeID // by ZoneID: the names in canonical order
	position []uint32   // by NodeID: the index in its zone, plus 1; 0: no NSEC record
}

// NewChains returns the chains of the wanted zones, by ZoneID; nil if there are none.
func (s *Data) NewChains(wanted []bool) *Chains {
	if !slices.Contains(wanted, true) {
		return nil
	}
	c := &Chains{data: s, wanted: wanted, position: make([]uint32, s.count()), zones: make([][]NodeID, len(s.zones))}
	for id := NodeID(1); id < s.count(); id++ {
		if zone := s.node(id).zone; wanted[zone] && s.InChain(id) {
			c.zones[zone] = append(c.zones[zone], id)
		}
	}
	for _, nodes := range c.zones {
		slices.SortFunc(nodes, s.compareNames)
		c.number(nodes)
	}
	return c
}

// Update returns the chains of data that differs in some zones, by updates. It sorts only names that they have added.
func (c *Chains) Update(data *Data, updated []ZoneID) *Chains {
	next := &Chains{data: data, wanted: c.wanted, zones: slices.Clone(c.zones), position: make([]uint32, data.count())}
	copy(next.position, c.position)
	for i, zone := range updated {
		if c.wanted[zone] && !slices.Contains(updated[:i], zone) {
			next.updateZone(zone)
		}
	}
	return next
}

// updateZone removes the names that are no longer in the chain of a zone, and inserts those that are now.
func (c *Chains) updateZone(zone ZoneID) {
	s := c.data
	var added []NodeID
	for in := range s.spansWith(zone) {
		for id := in.from; id < in.to; id++ {
			if s.node(id).zone == zone && c.position[id] == 0 && s.InChain(id) {
				added = append(added, id)
			}
		}
	}
	slices.SortFunc(added, s.compareNames)
	nodes := make([]NodeID, 0, len(c.zones[zone])+len(added))
	for _, id := range c.zones[zone] {
		if !s.InChain(id) {
			c.position[id] = 0
			continue
		}
		for len(added) > 0 && s.compareNames(added[0], id) < 0 {
			nodes, added = append(nodes, added[0]), added[1:]
		}
		nodes = append(nodes, id)
	}
	c.zones[zone] = append(nodes, added...)
	c.number(c.zones[zone])
}

// number sets the positions of the names of a zone.
func (c *Chains) number(nodes []NodeID) {
	for i, id := range nodes {
		c.position[id] = uint32(i) + 1
	}
}

// compareNames compares the names of two nodes in canonical order.
func (s *Data) compareNames(a, b NodeID) int { return s.NodeName(a).Compare(s.NodeName(b)) }

// InChain reports whether a node has an NSEC record.
func (s *Data) InChain(id NodeID) bool {
	n := s.node(id)
	if s.Presigned(n.zone) != nil {
		if _, ok := s.RRset(id, dns.TypeNSEC); !ok {
			return false // also if it is the parent side of an apex that the zone does not delegate
		}
	}
	switch {
	case n.flags.has(isHashed), n.flags.has(isRemoved):
		return false
	case n.flags.has(isAbove):
		apex := s.find(s.NodeName(id))
		return s.zones[s.node(apex).zone].above == id // else a cut lies between the two zones
	case n.cover != 0 && n.cover != id:
		return false
	}
	return n.sets > 0 || n.flags.has(isBalanced)
}

// At returns the node with the NSEC record that matches a node, or covers it if it is an empty non-terminal.
func (c *Chains) At(node NodeID) NodeID {
	if c.position[node] != 0 {
		return node
	}
	return c.Before(c.data.node(node).zone, c.data.NodeName(node))
}

// Next returns the name after that of a node in the zone's ring. The node has an NSEC record.
func (c *Chains) Next(node NodeID) dnsname.Wire {
	nodes := c.zones[c.data.node(node).zone]
	at := c.position[node] // that of the next node, unless the node is the last one
	if int(at) == len(nodes) {
		at = 0
	}
	return c.data.NodeName(nodes[at])
}

// Before returns the node whose NSEC record matches or covers a name of a zone, in lower case: the last one that is not
// after the name. It returns 0 if there is none.
func (c *Chains) Before(zone ZoneID, name dnsname.Wire) NodeID {
	nodes := c.zones[zone]
	if len(nodes) == 0 {
		return 0 // a presigned zone without NSEC records
	}
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
