package zones

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// SetChange replaces the record set of a name and a type.
type SetChange struct {
	Owner dnsname.Wire // lower case
	Type  uint16
	TTL   uint32
	Data  [][]byte // of the records; none: the set is removed
}

// Update returns the data with other record sets in one zone. Both share what did not change: what an update costs besides a copy
// of the nodes is what it changes. Each data can be updated once: a second update would overwrite the first one. The zone is not
// presigned, the names are not balanced, no type is DNAME, and the changes have the SOA with its new serial.
func (s *Data) Update(zone ZoneID, changes []SetChange) (*Data, error) {
	u := &updater{d: s.fork(), zone: zone, touched: map[NodeID]bool{}}
	for i := range changes {
		if err := u.change(&changes[i]); err != nil {
			return nil, err
		}
	}
	for id := range u.touched {
		u.prune(id)
	}
	if u.relink {
		u.d.relink(zone)
	}
	u.renderCuts()
	u.d.renderNegative(zone)
	return u.d, nil
}

// updater makes an updated copy of data.
type updater struct {
	d       *Data
	zone    ZoneID
	touched map[NodeID]bool // names with changed sets
	hosts   bool            // a set that may be glue changed
	cuts    bool            // a delegation changed
	relink  bool            // what is below a name changed with it
}

// fork returns a copy of the data that may be changed where old readers do not look: beyond the ends of names, sets and data.
func (s *Data) fork() *Data {
	const room = 8 // nodes of an update
	d := *s
	d.configured = s.Configured()
	d.nodes = append(make([]node, 0, len(s.nodes)+room), s.nodes...)
	d.index, d.zones, d.cuts = slices.Clone(s.index), slices.Clone(s.zones), slices.Clip(s.cuts)
	return &d
}

// change replaces a set.
func (u *updater) change(c *SetChange) error {
	id, err := u.ensure(c)
	if id == 0 || err != nil {
		return err
	}
	n := &u.d.nodes[id]
	if n.zone != u.zone || c.Type == dns.TypeDNAME || n.flags.has(isWhoami) || n.flags.has(isBalanced) && c.Type != dns.TypeSOA && c.Type != dns.TypeNS {
		return fmt.Errorf("%s is not a static name of the zone", c.Owner)
	}
	set, err := u.d.appendSet(c)
	if err != nil {
		return err
	}
	u.replace(n, c.Type, set)
	u.note(id, c.Type, set.count > 0)
	return nil
}

// note records what a changed set has an effect on.
func (u *updater) note(id NodeID, typ uint16, exists bool) {
	n := &u.d.nodes[id]
	u.touched[id] = true
	u.hosts = u.hosts || typ == dns.TypeA || typ == dns.TypeAAAA
	if typ == dns.TypeNS && !n.flags.has(isApex) {
		u.cuts = true
		u.mark(n, isCut, exists)
	}
}

// ensure returns the node of a change; 0: there is none, and none is needed.
func (u *updater) ensure(c *SetChange) (NodeID, error) {
	id := u.d.find(c.Owner)
	if id == 0 && len(c.Data) > 0 {
		return u.create(c.Owner)
	}
	return id, nil
}

// mark sets or clears a flag that has an effect on the names below.
func (u *updater) mark(n *node, flag flags, on bool) {
	if n.flags.has(flag) == on {
		return
	}
	n.flags ^= flag
	u.relink = true
}

// appendSet renders a set; it is empty if the change removes one.
func (s *Data) appendSet(c *SetChange) (set rrset, err error) {
	set = rrset{off: uint32(len(s.data)), ttl: c.TTL, typ: c.Type, count: uint16(len(c.Data))}
	size := 0
	for _, rdata := range c.Data {
		s.data = binary.BigEndian.AppendUint16(s.data, uint16(len(rdata)))
		s.data = append(s.data, rdata...)
		size += 12 + len(rdata)
	}
	if size > maxSet || uint64(len(s.data)) > maxData {
		return set, fmt.Errorf("%s of %s has %d bytes, more than fit in a message", typeName(c.Type), c.Owner, size)
	}
	set.length = uint32(len(s.data)) - set.off
	return set, nil
}

// maxData bounds the octets of records: offsets have 32 bits.
const maxData = 1<<32 - 1<<20

// replace makes set the set of its type at n, in the order of types. All sets of a node follow one another, so they move.
func (u *updater) replace(n *node, typ uint16, set rrset) {
	first := uint32(len(u.d.sets))
	added := set.count == 0
	for _, old := range u.d.nodeSets(n) {
		if !added && old.typ >= typ {
			u.d.sets, added = append(u.d.sets, set), true
		}
		if old.typ != typ {
			u.d.sets = append(u.d.sets, old)
		}
	}
	if !added {
		u.d.sets = append(u.d.sets, set)
	}
	n.set, n.sets = first, uint16(uint32(len(u.d.sets))-first)
}

// create adds the node of a name, and those above it.
func (u *updater) create(name dnsname.Wire) (NodeID, error) {
	if len(name) <= 1 {
		return 0, fmt.Errorf("%s is not in the zone", name)
	}
	up := u.d.find(name.Parent())
	if up == 0 {
		var err error
		if up, err = u.create(name.Parent()); err != nil {
			return 0, err
		}
	}
	if u.d.nodes[up].zone != u.zone {
		return 0, fmt.Errorf("%s is not in the zone", name)
	}
	return u.add(name, up), nil
}

// add adds a node below another one. Glue may be there for a delegation.
func (u *updater) add(name dnsname.Wire, up NodeID) NodeID {
	d := u.d
	n := node{name: uint32(len(d.names)), nameLen: uint8(len(name)), zone: u.zone, cover: d.nodes[up].cover}
	if n.cover == 0 && d.nodes[up].flags.has(isDName) {
		n.cover = up
	}
	d.names = append(d.names, name...)
	d.nodes = append(d.nodes, n)
	id := NodeID(len(d.nodes) - 1)
	d.maxLabels = max(d.maxLabels, name.Labels())
	if bytes.HasPrefix(name, []byte("\x01*")) {
		d.nodes[up].wild = id
	}
	if 2*len(d.nodes) > len(d.index) {
		d.reindex(2 * len(d.index))
	} else {
		d.insert(id)
	}
	return id
}

// reindex makes an index of another size.
func (s *Data) reindex(size int) {
	old := s.index
	s.index = make([]uint64, size)
	for _, slot := range old {
		if slot != 0 {
			s.insert(NodeID(slot))
		}
	}
	s.insert(NodeID(len(s.nodes) - 1))
}

// prune removes a node that has nothing, and the empty ones above it that it leaves: otherwise their names would exist.
func (u *updater) prune(id NodeID) {
	for id != 0 {
		n := &u.d.nodes[id]
		if n.sets > 0 || n.flags != 0 || u.d.hasBelow(id) {
			return
		}
		up := u.d.find(u.d.NodeName(id).Parent())
		u.d.unindex(id)
		n.flags |= isRemoved
		if u.d.nodes[up].wild == id {
			u.d.nodes[up].wild = 0
		}
		id = up
	}
}

// hasBelow reports whether any name below a node exists.
func (s *Data) hasBelow(id NodeID) bool {
	name := s.NodeName(id)
	for i := 1; i < len(s.nodes); i++ {
		n := &s.nodes[i]
		if int(n.nameLen) <= len(name) || n.flags.has(isRemoved) || n.flags.has(isHashed) {
			continue
		}
		below := s.NodeName(NodeID(i))
		if bytes.HasSuffix(below, name) && isBelow(below, name) {
			return true
		}
	}
	return false
}

// isBelow reports whether a longer name is below another one, label by label.
func isBelow(name, above dnsname.Wire) bool {
	for len(name) > len(above) {
		name = name.Parent()
	}
	return bytes.Equal(name, above)
}

// unindex removes a node from the index, and moves back those that were put after it because their place was taken.
func (s *Data) unindex(id NodeID) {
	mask := uint64(len(s.index) - 1)
	home := func(id NodeID) uint64 { return maphash.Bytes(s.seed, s.NodeName(id)) & mask }
	free := home(id)
	for NodeID(s.index[free]) != id {
		free = (free + 1) & mask
	}
	for at := (free + 1) & mask; s.index[at] != 0; at = (at + 1) & mask {
		if (at-home(NodeID(s.index[at])))&mask >= (at-free)&mask {
			s.index[free] = s.index[at]
			free = at
		}
	}
	s.index[free] = 0
}

// relink finds the cover of each node of a zone. A node has a higher ID than the one above it.
func (s *Data) relink(zone ZoneID) {
	for i := 1; i < len(s.nodes); i++ {
		n := &s.nodes[i]
		if n.zone != zone || n.flags.has(isApex) || n.flags.has(isRemoved) || n.flags.has(isHashed) {
			continue
		}
		up := s.find(s.NodeName(NodeID(i)).Parent())
		n.cover = 0
		switch above := &s.nodes[up]; {
		case above.cover != 0:
			n.cover = above.cover
		case above.flags.has(isDName):
			n.cover = up
		case n.flags.has(isCut):
			n.cover = NodeID(i)
		}
	}
}

// renderCuts renders the delegations that changed, and those whose nameservers did.
func (u *updater) renderCuts() {
	if !u.hosts && !u.cuts {
		return
	}
	known := map[NodeID]GlueID{}
	for i := range u.d.nodes {
		n := &u.d.nodes[i]
		if !n.flags.has(isCut) || !u.touched[NodeID(i)] && !u.servedByTouched(NodeID(i)) {
			continue
		}
		n.extra = uint32(len(u.d.cuts))
		u.d.cuts = append(u.d.cuts, u.d.renderCut(NodeID(i), known))
	}
}

// servedByTouched reports whether a nameserver of a cut changed.
func (u *updater) servedByTouched(id NodeID) bool {
	set, _ := u.d.RRset(id, dns.TypeNS)
	for rdata := range set.rdata {
		target := dnsname.Wire(rdata).Folded()
		for touched := range u.touched {
			if bytes.Equal(u.d.NodeName(touched), target) {
				return true
			}
		}
	}
	return false
}

// NodeIn returns the node of a name in a zone; false: the zone does not have the name.
func (s *Data) NodeIn(zone ZoneID, name dnsname.Wire) (NodeID, bool) {
	id := s.find(name)
	return id, id != 0 && s.nodes[id].zone == zone
}

// Holds reports whether a zone is the one that a name, which need not exist, belongs to.
func (s *Data) Holds(zone ZoneID, name dnsname.Wire) bool {
	id := s.find(name)
	if id == 0 {
		id = s.encloser(name)
	}
	return id != 0 && s.nodes[id].zone == zone
}

// HidesOthers reports whether a delegation of a name would hide balanced names, or another zone of ours.
func (s *Data) HidesOthers(name dnsname.Wire) bool {
	for i := 1; i < len(s.nodes); i++ {
		n := &s.nodes[i]
		if (n.flags.has(isBalanced) || n.flags.has(isApex)) && int(n.nameLen) > len(name) && isBelow(s.NodeName(NodeID(i)), name) {
			return true
		}
	}
	return false
}
