package zones

import (
	"bytes"
	"hash/maphash"

	"meridian/dnsname"
)

func (s *Data) hash(name []byte) uint64 { return maphash.Bytes(s.seed, name) }

// find returns the node with exactly this name, or 0.
func (s *Data) find(name []byte) NodeID {
	hash := s.hash(name)
	mask := s.slots() - 1
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := s.slot(i)
		if slot == 0 {
			return 0
		}
		if slot>>32 == hash>>32 && bytes.Equal(s.NodeName(NodeID(slot)), name) {
			return NodeID(slot)
		}
	}
}

// newNode creates a node and adds it to the index.
func (c *compiler) newNode(wire dnsname.Wire, z ZoneID, up NodeID) NodeID {
	id := c.bareNode(uint32(len(c.s.names)), len(wire), z, up)
	c.s.names = append(c.s.names, wire...)
	c.s.maxLabels = max(c.s.maxLabels, wire.Labels())
	if 2*len(c.s.nodes) > len(c.s.index) {
		c.growIndex()
	} else {
		c.s.insert(id)
	}
	return id
}

// bareNode creates a node without an index entry.
func (c *compiler) bareNode(name uint32, length int, z ZoneID, up NodeID) NodeID {
	c.s.nodes = append(c.s.nodes, node{name: name, nameLen: uint8(length), zone: z})
	c.parents = append(c.parents, up)
	return NodeID(len(c.s.nodes) - 1)
}

func (c *compiler) growIndex() {
	old := c.s.index
	c.s.index = make([]uint64, 2*len(old))
	for _, slot := range old {
		if slot != 0 {
			c.s.insert(NodeID(slot))
		}
	}
	c.s.insert(NodeID(len(c.s.nodes) - 1))
}

// insert adds a node to the index, which has room.
func (s *Data) insert(id NodeID) {
	hash := s.hash(s.NodeName(id))
	mask := uint64(len(s.index) - 1)
	i := hash & mask
	for s.index[i] != 0 {
		i = (i + 1) & mask
	}
	s.index[i] = hash>>32<<32 | uint64(id)
}

// node finds or creates the node of a name within zone z, and the empty non-terminals above it. It returns false,
// with the node or its closest encloser, if another zone of ours below z encloses the name.
func (c *compiler) node(wire dnsname.Wire, z ZoneID) (NodeID, bool) {
	if id := c.s.find(wire); id != 0 {
		return id, c.s.nodes[id].zone == z
	}
	up, ok := c.node(wire.Parent(), z) // ends at the apex at the latest
	if !ok {
		return up, false
	}
	return c.newNode(wire, z, up), true
}

// within reports whether a name is at or below the apex of z, label by label.
func (c *compiler) within(wire dnsname.Wire, z ZoneID) bool {
	apex := c.s.Apex(z)
	for len(wire) > len(apex) {
		wire = wire.Parent()
	}
	return bytes.Equal(wire, apex)
}
