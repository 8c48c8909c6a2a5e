package zones

import (
	"bytes"
	"encoding/binary"
	"fmt"

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

// ZoneChange is changes of a zone. They have the SOA with its new serial.
type ZoneChange struct {
	Zone ZoneID
	Sets []SetChange
}

// Update is UpdateZones for one zone.
func (s *Data) Update(zone ZoneID, changes []SetChange) (*Data, error) {
	return s.UpdateZones([]ZoneChange{{zone, changes}})
}

// UpdateZones returns the data with other record sets. Both share what did not change. Besides a table of the pages, a few KiB for
// 100,000 names, an update costs what it changes; but one that delegates a name with names below it, or ends such a delegation,
// looks at all names of the zone.
//
// Each data can be updated once: a second update would overwrite the first one. The zones are not presigned, the names are not
// balanced, and no type is DNAME: CheckUpdate returns an error for others.
func (s *Data) UpdateZones(changes []ZoneChange) (*Data, error) {
	d := s.fork()
	e := newEditor(d)
	for i := range changes {
		u := &updater{editor: e, zone: changes[i].Zone, touched: map[NodeID]bool{}}
		if err := u.run(changes[i].Sets); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// CheckUpdate returns why Update cannot make changes; nil: it can.
func (s *Data) CheckUpdate(zone ZoneID, changes []SetChange) error {
	size := uint64(0)
	for i := range changes {
		c := &changes[i]
		octets, err := c.size()
		if err != nil {
			return err
		}
		size += uint64(octets)
		id := s.find(c.Owner)
		switch {
		case id != 0 && !s.mayChange(id, zone, c.Type), id == 0 && len(c.Data) > 0 && !s.Holds(zone, c.Owner):
			return errNotStatic(c)
		}
	}
	if s.dataSize()+size > maxData-maxWaiting {
		return errFull
	}
	return nil
}

var errFull = fmt.Errorf("all zones together would have more than %d MiB", maxData>>20)

// maxData bounds the octets of records: offsets have 32 bits. CheckUpdate leaves maxWaiting for changes of other zones that are
// not made yet.
const (
	maxData    = 1<<32 - 1<<20
	maxWaiting = 1 << 26
)

// size returns the octets of the data of a set.
func (c *SetChange) size() (octets int, err error) {
	size := 0
	for _, rdata := range c.Data {
		octets += 2 + len(rdata)
		size += 12 + len(rdata)
	}
	if size > maxSet {
		return 0, fmt.Errorf("%s of %s has %d bytes, more than fit in a message", typeName(c.Type), c.Owner, size)
	}
	return octets, nil
}

// mayChange reports whether an update may change a set of a node.
func (s *Data) mayChange(id NodeID, zone ZoneID, typ uint16) bool {
	n := s.node(id)
	balanced := n.flags.has(isBalanced) && typ != dns.TypeSOA && typ != dns.TypeNS
	return n.zone == zone && typ != dns.TypeDNAME && !n.flags.has(isWhoami) && !balanced
}

func errNotStatic(c *SetChange) error {
	return fmt.Errorf("%s is not a static name of the zone", c.Owner)
}

// updater makes the changes of one zone.
type updater struct {
	editor
	zone     ZoneID
	touched  map[NodeID]bool // names with changed sets
	hosts    bool            // a set that may be glue changed
	cuts     bool            // a delegation changed
	relinked []NodeID        // names that are a delegation now, or no longer, and had names below them
}

func (u *updater) run(changes []SetChange) error {
	for i := range changes {
		if err := u.change(&changes[i]); err != nil {
			return err
		}
	}
	for id := range u.touched {
		u.prune(id)
	}
	u.relink()
	u.renderCuts()
	return nil
}

// change replaces a set.
func (u *updater) change(c *SetChange) error {
	id, err := u.ensure(c)
	if id == 0 || err != nil {
		return err
	}
	if !u.d.mayChange(id, u.zone, c.Type) {
		return errNotStatic(c)
	}
	set, err := u.d.appendSet(c)
	if err != nil {
		return err
	}
	u.replace(id, c.Type, set)
	u.note(id, c.Type, set.count > 0)
	return nil
}

// note records what a changed set has an effect on.
func (u *updater) note(id NodeID, typ uint16, exists bool) {
	u.touched[id] = true
	u.hosts = u.hosts || typ == dns.TypeA || typ == dns.TypeAAAA
	if typ == dns.TypeNS && !u.d.node(id).flags.has(isApex) {
		u.cuts = true
		u.delegate(id, exists)
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

// delegate makes a name a delegation, or ends one.
func (u *updater) delegate(id NodeID, on bool) {
	if u.d.node(id).flags.has(isCut) == on {
		return
	}
	n := u.node(id)
	n.flags ^= isCut
	if n.below > 0 {
		u.relinked = append(u.relinked, id)
		return
	}
	n.cover = u.coverOf(id)
}

// appendSet renders a set; it is empty if the change removes one.
func (s *Data) appendSet(c *SetChange) (set rrset, err error) {
	octets, err := c.size()
	switch {
	case err != nil:
		return set, err
	case s.dataSize()+uint64(octets) > maxData:
		return set, errFull
	}
	b := make([]byte, 0, octets)
	for _, rdata := range c.Data {
		b = binary.BigEndian.AppendUint16(b, uint16(len(rdata)))
		b = append(b, rdata...)
	}
	return rrset{off: s.addData(b), length: uint32(len(b)), ttl: c.TTL, typ: c.Type, count: uint16(len(c.Data))}, nil
}

// replace makes set the set of its type at a node, in the order of types. All sets of a node follow one another, so they move.
func (u *updater) replace(id NodeID, typ uint16, set rrset) {
	old := u.d.nodeSets(u.d.node(id))
	sets, added := make([]rrset, 0, len(old)+1), set.count == 0
	for _, other := range old {
		if !added && other.typ >= typ {
			sets, added = append(sets, set), true
		}
		if other.typ != typ {
			sets = append(sets, other)
		}
	}
	if !added {
		sets = append(sets, set)
	}
	n := u.node(id)
	n.set, n.sets = u.addSets(sets...), uint16(len(sets))
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
	if u.d.node(up).zone != u.zone {
		return 0, fmt.Errorf("%s is not in the zone", name)
	}
	return u.add(name, up), nil
}

// add adds a node below another one. Glue may be there for a delegation.
func (u *updater) add(name dnsname.Wire, up NodeID) NodeID {
	above := u.node(up)
	above.below++
	n := node{zone: u.zone, cover: above.cover}
	if n.cover == 0 && above.flags.has(isDName) {
		n.cover = up
	}
	id := u.addNode(n, name)
	u.d.maxLabels = max(u.d.maxLabels, name.Labels())
	if isWildcard(name) {
		u.node(up).wild = id
	}
	u.insert(id)
	return id
}

func isWildcard(name dnsname.Wire) bool { return bytes.HasPrefix(name, []byte("\x01*")) }

// prune removes a node that has nothing, and the empty ones above it that it leaves: otherwise their names would exist.
func (u *updater) prune(id NodeID) {
	for id != 0 {
		n := u.d.node(id)
		if n.sets > 0 || n.flags != 0 || n.below > 0 {
			return
		}
		up := u.d.find(u.d.NodeName(id).Parent())
		u.unindex(id)
		u.node(id).flags |= isRemoved
		above := u.node(up)
		above.below--
		if above.wild == id {
			above.wild = 0
		}
		id = up
	}
}

// isBelow reports whether a longer name is below another one, label by label.
func isBelow(name, above dnsname.Wire) bool {
	for len(name) > len(above) {
		name = name.Parent()
	}
	return bytes.Equal(name, above)
}

// coverOf returns the cover of a node that is not an apex. That of the node above it is right.
func (u *updater) coverOf(id NodeID) NodeID {
	up := u.d.find(u.d.NodeName(id).Parent())
	switch above := u.d.node(up); {
	case above.cover != 0:
		return above.cover
	case above.flags.has(isDName):
		return up
	case u.d.node(id).flags.has(isCut):
		return id
	}
	return 0
}

// relink finds the covers of what is at and below names that are a delegation now, or no longer. A node has a higher ID than
// the one above it.
func (u *updater) relink() {
	all := false
	for _, id := range u.relinked {
		n := u.d.node(id)
		switch {
		case n.flags.has(isRemoved):
		case n.below == 0:
			u.node(id).cover = u.coverOf(id)
		default:
			all = true
		}
	}
	if !all {
		return
	}
	for in := range u.d.spansWith(u.zone) {
		for id := in.from; id < in.to; id++ {
			n := u.d.node(id)
			if n.zone != u.zone || n.flags.has(isApex) || n.flags.has(isRemoved) || n.flags.has(isHashed) {
				continue
			}
			if cover := u.coverOf(id); cover != n.cover {
				u.node(id).cover = cover
			}
		}
	}
}

// renderCuts renders the delegations that changed, and those whose nameservers did.
func (u *updater) renderCuts() {
	if !u.hosts && !u.cuts {
		return
	}
	numbers, known, changed := u.d.numbers, map[NodeID]GlueID{}, map[NodeID]bool{}
	for id := range u.touched {
		n := u.d.node(id)
		if n.flags.has(isCut) {
			changed[id] = true
			numbers.noteCut(u.d, id)
		}
		if !u.hosts {
			continue
		}
		for _, cut := range numbers.servedBy(u.d, u.d.NodeName(id)) {
			changed[cut] = true
		}
	}
	for id := range changed {
		at := uint32(len(u.d.cuts))
		u.d.cuts = append(u.d.cuts, u.d.renderCut(id, known))
		u.node(id).extra = at
	}
}

// NodeIn returns the node of a name in a zone; false: the zone does not have the name.
func (s *Data) NodeIn(zone ZoneID, name dnsname.Wire) (NodeID, bool) {
	id := s.find(name)
	return id, id != 0 && s.node(id).zone == zone
}

// Holds reports whether a zone is the one that a name, which need not exist, belongs to.
func (s *Data) Holds(zone ZoneID, name dnsname.Wire) bool {
	id := s.find(name)
	if id == 0 {
		id = s.encloser(name)
	}
	return id != 0 && s.node(id).zone == zone
}

// HidesOthers reports whether a delegation of a name would hide balanced names, or another zone of ours.
func (s *Data) HidesOthers(name dnsname.Wire) bool {
	if id := s.find(name); id == 0 || s.node(id).below == 0 {
		return false
	}
	for id := NodeID(1); id < s.count(); id++ {
		n := s.node(id)
		if n.flags.has(isRemoved) {
			continue
		}
		if (n.flags.has(isBalanced) || n.flags.has(isApex)) && int(n.nameLen) > len(name) && isBelow(s.NodeName(id), name) {
			return true
		}
	}
	return false
}
