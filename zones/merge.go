package zones

import (
	"slices"
)

// The parts of what was compiled that updates may add before Overgrown reports it, besides a fixed number.
const (
	mergeShare   = 4 // one in so many
	mergeEntries = 1 << 14
	mergeOctets  = 1 << 20
)

// Overgrown reports whether updates have added so much that Merge is worth its cost, which is that of what was compiled: each
// update then pays for a few names. It also reports an index that fills up.
func (s *Data) Overgrown() bool {
	p := s.updated
	if p == nil {
		return false
	}
	entries := len(p.sets) + int(p.count-s.created) + len(s.cuts) + len(s.glue) - s.merged.delegations
	octets := len(p.names) + len(p.data)
	return entries > mergeEntries+(len(s.sets)+int(s.created))/mergeShare ||
		octets > mergeOctets+(len(s.names)+len(s.data))/mergeShare ||
		p.slots > pageSlots && 8*uint64(p.live) > 5*p.slots
}

// merged is the size of what Merge or Compile made, as far as updates append to it.
type merged struct{ delegations int }

// Merge returns data with the same content, without what updates have replaced, in new memory. Nodes have other numbers. It takes
// as long as copying all names, and may run while queries and updates use s.
func (s *Data) Merge() *Data {
	m := &merger{from: s, glue: map[GlueID]GlueID{}, services: map[Service]Service{}}
	m.d = s.emptyCopy()
	m.copyNodes()
	m.copyIndex()
	m.copyDelegations()
	m.copyShared()
	m.d.prepareNegative()
	m.d.number()
	m.d.merged.delegations = len(m.d.cuts) + len(m.d.glue)
	if s.numbers.inUse() {
		m.d.numbers.find(m.d)
	}
	return m.d
}

// emptyCopy returns a copy without names and what belongs to them.
func (s *Data) emptyCopy() *Data {
	d := *s
	d.updated, d.nodes, d.index, d.names, d.sets, d.data, d.cuts, d.cutGlue, d.glue = nil, nil, nil, nil, nil, nil, nil, nil, nil
	d.zones, d.bindings, d.memberSets, d.presigned = slices.Clone(s.zones), slices.Clone(s.bindings), slices.Clone(s.memberSets), slices.Clone(s.presigned)
	return &d
}

// merger copies data.
type merger struct {
	from     *Data
	d        *Data
	numbers  []NodeID // by NodeID of from; 0: removed
	glue     map[GlueID]GlueID
	services map[Service]Service
}

// copyNodes copies the nodes that exist, in their order, with their names and sets.
func (m *merger) copyNodes() {
	s, d := m.from, m.d
	m.numbers = make([]NodeID, s.count())
	d.nodes, d.names = make([]node, 1, s.count()), make([]byte, 0, len(s.names))
	d.sets, d.data = make([]rrset, 0, len(s.sets)), make([]byte, 0, len(s.data))
	for id := NodeID(1); id < s.count(); id++ {
		n := *s.node(id)
		if n.flags.has(isRemoved) {
			continue
		}
		m.numbers[id] = NodeID(len(d.nodes))
		name, sets := s.NodeName(id), s.nodeSets(&n)
		n.name, n.set = uint32(len(d.names)), uint32(len(d.sets))
		d.names = append(d.names, name...)
		for _, set := range sets {
			set.off = d.addData(s.octets(set.off, set.length))
			d.sets = append(d.sets, set)
		}
		d.nodes = append(d.nodes, n)
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		n.cover, n.wild = m.numbers[n.cover], m.numbers[n.wild]
	}
	for i := range d.zones {
		z := &d.zones[i]
		z.apex, z.above = m.numbers[z.apex], m.numbers[z.above]
	}
}

// copyIndex makes an index that is at most three eighths full: there is room for updates.
func (m *merger) copyIndex() {
	size := 8
	for 3*size < 8*len(m.d.nodes) {
		size *= 2
	}
	m.d.index = make([]uint64, size)
	for i := 1; i < len(m.d.nodes); i++ {
		if n := &m.d.nodes[i]; !n.flags.has(isAbove) && !n.flags.has(isHashed) {
			m.d.insert(NodeID(i))
		}
	}
}

// copyDelegations copies the glue that delegations use.
func (m *merger) copyDelegations() {
	s, d := m.from, m.d
	for i := range d.nodes {
		n := &d.nodes[i]
		if !n.flags.has(isCut) {
			continue
		}
		old := s.cuts[n.extra]
		n.extra = uint32(len(d.cuts))
		d.cuts = append(d.cuts, cut{uint32(len(d.cutGlue)), old.count})
		for _, id := range s.cutGlue[old.first : old.first+old.count] {
			d.cutGlue = append(d.cutGlue, m.glueOf(id))
		}
	}
}

// glueOf copies the records of a nameserver once.
func (m *merger) glueOf(id GlueID) GlueID {
	if same, ok := m.glue[id]; ok {
		return same
	}
	g := m.from.glue[id]
	g.off = m.d.addData(m.from.octets(g.off, g.length))
	m.d.glue = append(m.d.glue, g)
	m.glue[id] = GlueID(len(m.d.glue) - 1)
	return m.glue[id]
}

// copyShared copies what is not of nodes: HTTPS records, records of members, and the order of hashed names.
func (m *merger) copyShared() {
	s, d := m.from, m.d
	for i := range d.bindings {
		b := &d.bindings[i]
		if !b.HTTPS.Exists() {
			continue
		}
		same, ok := m.services[b.HTTPS]
		if !ok {
			same = Service{d.addData(s.Service(b.HTTPS)), b.HTTPS.length, b.HTTPS.Hintless}
			m.services[b.HTTPS] = same
		}
		b.HTTPS = same
	}
	for i := range d.memberSets {
		set := &d.memberSets[i]
		set.off = d.addData(s.octets(set.off, set.length))
	}
	for i, p := range d.presigned {
		if p == nil || p.Hashes == nil {
			continue
		}
		zone, hashes := *p, *p.Hashes
		hashes.order = slices.Clone(hashes.order)
		for k := range hashes.order {
			hashes.order[k].node = m.numbers[hashes.order[k].node]
		}
		zone.Hashes = &hashes
		d.presigned[i] = &zone
	}
}
