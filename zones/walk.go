package zones

import (
	"cmp"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// ApexOf returns the zone with this name, in wire form and lower case, or false if it is not the name of a zone.
func (s *Data) ApexOf(name dnsname.Wire) (ZoneID, bool) {
	node := s.find(name)
	if node == 0 || !s.node(node).flags.has(isApex) {
		return 0, false
	}
	return s.node(node).zone, true
}

// HasPools reports whether any name of a zone is bound to a pool.
func (s *Data) HasPools(zone ZoneID) bool { return len(s.config.Zones[zone].Names) > 0 }

// BindingID returns the number of the binding of a balanced node: names with equal bindings share one.
func (s *Data) BindingID(node NodeID) (id uint32, balanced bool) {
	n := s.node(node)
	return n.extra, n.flags.has(isBalanced)
}

// OwnedSet is an RRset with its owner.
type OwnedSet struct {
	Owner dnsname.Wire
	RRset
}

// span is nodes of a zone that follow one another.
type span struct {
	zone     ZoneID
	from, to NodeID
}

// compareZone orders spans by zone.
func (s span) compareZone(zone ZoneID) int { return cmp.Compare(s.zone, zone) }

// spansOf divides nodes into spans, in the order of zones.
func spansOf(nodes []node) (all []span) {
	for i := 1; i < len(nodes); i++ {
		if last := len(all) - 1; last >= 0 && all[last].zone == nodes[i].zone {
			all[last].to++
		} else {
			all = append(all, span{nodes[i].zone, NodeID(i), NodeID(i) + 1})
		}
	}
	slices.SortStableFunc(all, func(a, b span) int { return a.compareZone(b.zone) })
	return all
}

// spansWith yields spans with all nodes of a zone, so that a walk of one zone of thousands is not one of all. The last one is
// the nodes that updates created, of every zone.
func (s *Data) spansWith(zone ZoneID) iter.Seq[span] {
	return func(yield func(span) bool) {
		i, _ := slices.BinarySearchFunc(s.spans, zone, span.compareZone)
		for ; i < len(s.spans) && s.spans[i].zone == zone; i++ {
			if !yield(s.spans[i]) {
				return
			}
		}
		yield(span{zone, s.created, s.count()})
	}
}

// Walk yields the nodes of a zone that have records, or a pool, or are delegations, in no particular order.
func (s *Data) Walk(zone ZoneID) iter.Seq[NodeID] {
	return func(yield func(NodeID) bool) {
		for in := range s.spansWith(zone) {
			for id := in.from; id < in.to; id++ {
				n := s.node(id)
				if n.zone == zone && (n.sets > 0 || n.flags.has(isBalanced|isAbove|isWhoami)) && !yield(id) {
					return
				}
			}
		}
	}
}

// AppendStaticSets appends the static record sets of a node as a transfer has them, without the SOA. A zone of ours below has its NS records and
// their glue, which the file of the zone above may leave out, and of which the compiler keeps only those of the zone below.
func (s *Data) AppendStaticSets(dst []OwnedSet, node NodeID) []OwnedSet {
	n := s.node(node)
	sets := s.nodeSets(n)
	for i := range sets {
		if sets[i].typ != dns.TypeSOA {
			dst = append(dst, OwnedSet{s.NodeName(node), s.rrset(&sets[i])})
		}
	}
	if n.flags.has(isWhoami) {
		dst = append(dst, OwnedSet{s.NodeName(node), whoamiElsewhere()})
	}
	if n.flags.has(isAbove) {
		dst = s.appendDelegation(dst, node)
	}
	return dst
}

// appendDelegation appends the NS records of the zone of ours below its parent side, and the addresses of those that are
// in it.
func (s *Data) appendDelegation(dst []OwnedSet, above NodeID) []OwnedSet {
	apex := s.find(s.NodeName(above))
	set, ok := s.RRset(apex, dns.TypeNS)
	if !ok || s.zones[s.node(apex).zone].above != above { // then another server answers between the two zones
		return dst
	}
	dst = append(dst, OwnedSet{s.NodeName(apex), set})
	for target := range set.rdata {
		ns := s.find(dnsname.Wire(target).Folded())
		if ns == 0 || s.node(ns).zone != s.node(apex).zone {
			continue
		}
		for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
			if glue, ok := s.RRset(ns, typ); ok {
				dst = append(dst, OwnedSet{s.NodeName(ns), glue})
			}
		}
	}
	return dst
}

// RDATA yields the data of each record.
func (set RRset) RDATA() func(yield func([]byte) bool) { return set.rdata }
