package zones

import "slices"

// The sizes of pages: a page of either kind has 8 KiB.
const (
	pageNodes = 256
	pageSlots = 1024
)

type (
	nodePage [pageNodes]node
	slotPage [pageSlots]uint64
)

// pages is the part of data that updates change. The nodes and the index are in pages, which data of different updates share
// until one of them changes; names, sets and records are appended. Offsets go on after those of the slices that were compiled:
//
//	compiled       names, sets, data of Data    offsets 0 .. n-1
//	updates        names, sets, data of pages   offsets n ..
//
// The zero node and all free slots are in it too.
type pages struct {
	nodes []*nodePage
	index []*slotPage
	slots uint64 // of the index, a power of two
	count NodeID // of nodes, with removed ones
	live  int    // nodes that exist
	names []byte
	sets  []rrset
	data  []byte
}

// node returns a node. Do not change it.
func (s *Data) node(id NodeID) *node {
	if s.updated == nil {
		return &s.nodes[id]
	}
	return &s.updated.nodes[id/pageNodes][id%pageNodes]
}

// count returns the number of nodes, with removed ones, and with the one that means none.
func (s *Data) count() NodeID {
	if s.updated == nil {
		return NodeID(len(s.nodes))
	}
	return s.updated.count
}

// slots returns the size of the index.
func (s *Data) slots() uint64 {
	if s.updated == nil {
		return uint64(len(s.index))
	}
	return s.updated.slots
}

// slot returns a slot of the index.
func (s *Data) slot(i uint64) uint64 {
	if s.updated == nil {
		return s.index[i]
	}
	return s.updated.index[i/pageSlots][i%pageSlots]
}

// octets returns a part of all records.
func (s *Data) octets(off, length uint32) []byte {
	from := s.data
	if base := uint32(len(from)); off >= base && s.updated != nil {
		from, off = s.updated.data, off-base
	}
	return from[off : off+length : off+length]
}

// dataSize returns the number of octets of all records.
func (s *Data) dataSize() uint64 {
	size := uint64(len(s.data))
	if s.updated != nil {
		size += uint64(len(s.updated.data))
	}
	return size
}

// addData appends octets to the records, and returns their offset.
func (s *Data) addData(b []byte) (off uint32) {
	off = uint32(s.dataSize())
	if s.updated == nil {
		s.data = append(s.data, b...)
	} else {
		s.updated.data = append(s.updated.data, b...)
	}
	return off
}

// fork returns a copy of the data that an updater may change.
func (s *Data) fork() *Data {
	d := *s
	if s.updated == nil {
		d.updated = s.paged()
		d.nodes, d.index = nil, nil
		return &d
	}
	p := *s.updated
	p.nodes = append(make([]*nodePage, 0, len(p.nodes)+1), p.nodes...)
	p.index = slices.Clone(p.index)
	d.updated = &p
	return &d
}

// paged divides what was compiled into pages. They share its memory, except the last ones, which may be incomplete.
func (s *Data) paged() *pages {
	p := &pages{slots: uint64(len(s.index)), count: NodeID(len(s.nodes)), nodes: make([]*nodePage, 0, len(s.nodes)/pageNodes+2)}
	nodes, index := s.nodes, s.index
	for ; len(nodes) >= pageNodes; nodes = nodes[pageNodes:] {
		p.nodes = append(p.nodes, (*nodePage)(nodes))
	}
	if len(nodes) > 0 {
		last := new(nodePage)
		copy(last[:], nodes)
		p.nodes = append(p.nodes, last)
	}
	for ; len(index) >= pageSlots; index = index[pageSlots:] {
		p.index = append(p.index, (*slotPage)(index))
	}
	if len(index) > 0 {
		last := new(slotPage)
		copy(last[:], index)
		p.index = append(p.index, last)
	}
	p.live = s.live
	return p
}

// editor changes forked data. It copies each page before the first change in it.
type editor struct {
	d     *Data
	nodes map[NodeID]bool // pages of nodes that only d has
	index map[uint64]bool // pages of the index that only d has
}

func newEditor(d *Data) editor {
	return editor{d: d, nodes: map[NodeID]bool{}, index: map[uint64]bool{}}
}

// node returns a node to change. It is valid until the next call.
func (e *editor) node(id NodeID) *node {
	at, p := id/pageNodes, e.d.updated
	if !e.nodes[at] {
		page := *p.nodes[at]
		p.nodes[at], e.nodes[at] = &page, true
	}
	return &p.nodes[at][id%pageNodes]
}

// setSlot changes a slot of the index.
func (e *editor) setSlot(i, slot uint64) {
	at, p := i/pageSlots, e.d.updated
	if !e.index[at] {
		page := *p.index[at]
		p.index[at], e.index[at] = &page, true
	}
	p.index[at][i%pageSlots] = slot
}

// addNode adds a node with a name, and returns its number.
func (e *editor) addNode(n node, name []byte) NodeID {
	p := e.d.updated
	n.name, n.nameLen = uint32(len(e.d.names)+len(p.names)), uint8(len(name))
	p.names = append(p.names, name...)
	id := p.count
	if id%pageNodes == 0 {
		p.nodes = append(p.nodes, new(nodePage))
		e.nodes[id/pageNodes] = true
	}
	p.count++
	p.live++
	*e.node(id) = n
	return id
}

// addSets appends sets, and returns the index of the first one.
func (e *editor) addSets(sets ...rrset) (first uint32) {
	p := e.d.updated
	first = uint32(len(e.d.sets) + len(p.sets))
	p.sets = append(p.sets, sets...)
	return first
}

// insert adds a node to the index. If that is nearly full, it makes a larger one: Merge does so before, unless there are very
// many updates.
func (e *editor) insert(id NodeID) {
	if p := e.d.updated; 4*uint64(p.live) > 3*p.slots {
		e.reindex(2 * p.slots)
	}
	hash := e.d.hash(e.d.NodeName(id))
	mask := e.d.slots() - 1
	i := hash & mask
	for e.d.slot(i) != 0 {
		i = (i + 1) & mask
	}
	e.setSlot(i, hash>>32<<32|uint64(id))
}

// reindex makes an index of another size.
func (e *editor) reindex(size uint64) {
	old, p := *e.d.updated, e.d.updated
	p.index, p.slots = nil, size
	for range (size + pageSlots - 1) / pageSlots {
		e.index[uint64(len(p.index))] = true
		p.index = append(p.index, new(slotPage))
	}
	for i := range old.slots {
		slot := old.index[i/pageSlots][i%pageSlots]
		if slot == 0 {
			continue
		}
		at := e.d.hash(e.d.NodeName(NodeID(slot))) & (size - 1)
		for e.d.slot(at) != 0 {
			at = (at + 1) & (size - 1)
		}
		e.setSlot(at, slot)
	}
}

// unindex removes a node from the index, and moves back those that were put after it because their place was taken.
func (e *editor) unindex(id NodeID) {
	d, mask := e.d, e.d.slots()-1
	home := func(id NodeID) uint64 { return d.hash(d.NodeName(id)) & mask }
	free := home(id)
	for NodeID(d.slot(free)) != id {
		free = (free + 1) & mask
	}
	for at := (free + 1) & mask; d.slot(at) != 0; at = (at + 1) & mask {
		if (at-home(NodeID(d.slot(at))))&mask >= (at-free)&mask {
			e.setSlot(free, d.slot(at))
			free = at
		}
	}
	e.setSlot(free, 0)
	d.updated.live--
}
