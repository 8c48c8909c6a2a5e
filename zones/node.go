package zones

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/pools"
)

// node is a name that exists. It has no pointers, because there may be millions.
type node struct {
	name    uint32 // offset in Data.names
	set     uint32 // its first set in Data.sets
	zone    ZoneID
	cover   NodeID // the cut at or above it, the DNAME above it, or the apex of its zone if that has no data; 0: none
	wild    NodeID // the wildcard directly below it in its zone; 0: none
	extra   uint32 // index of bindings when balanced, of cuts when a cut
	below   uint32 // the number of nodes directly below it, in any zone
	sets    uint16
	nameLen uint8
	flags   flags
}

// flags describes the data at a node.
type flags uint8

const (
	isApex     flags = 1 << iota
	isCut            // NS below the apex
	isDName          // a DNAME redirects the names below
	isBalanced       // a pool answers A and AAAA, and all types if it has a CNAME
	isAbove          // the parent side of an apex of ours: see zone.above
	isHashed         // the owner of NSEC3 records; not in the index
	isWhoami         // answers with the addresses that a query comes from
	isRemoved        // an update removed the name; not in the index
)

func (f flags) has(flag flags) bool { return f&flag != 0 }

// zone is a zone of the snapshot.
type zone struct {
	apex     NodeID
	above    NodeID // the apex in the parent zone, which holds the DS; 0: that zone is not ours
	negative rrset  // the SOA of negative answers before any update
	changed  int64  // when its files last changed, in seconds since 1970
	madeSOA  bool   // its SOA is not from a file
	missing  Missing
}

// cut is a delegation.
type cut struct {
	first, count uint32 // of its nameservers in Data.cutGlue
}

// glue holds the address records of one nameserver.
type glue struct {
	off, length uint32 // in Data.data
	count       uint32
}

// GlueID identifies the address records of one nameserver.
type GlueID uint32

// Binding is a name's pool.
type Binding struct {
	Pool        pools.ID
	TTL         uint32
	DegradedTTL uint32 // of the answers while pools.Tree.Degraded; 0: TTL
	Answers     int
	CName       CName
	HTTPS       Service
	ECS         bool  // the client subnet of a query is used; else the packet's source
	Types       uint8 // that some client can get, one bit each: see Gives, givesV4 and givesV6
	Views       ViewsID
	AAAA        uint32 // the binding for AAAA, see ForType; 0: this one
}

// UsesECS reports whether any answer depends on the client subnet of a query.
func (s *Data) UsesECS() bool { return s.config.Server.ECS || s.boundECS }

// CName represents whether a pool may answer with a CNAME, and so for every type.
type CName uint8

// The possible answers of a pool.
const (
	NoCName      CName = iota // addresses only
	CNameOutside              // also names outside our zones, which end the answer
	CNameInside               // also names in our zones, which continue the answer
)

// Balanced returns the pool that answers A and AAAA at node. The pool also answers HTTPS if the binding has a
// Service, the types of its members' records, and every type if it has a CName. It returns nil for other names. Do not
// change the binding, which several names may share.
func (s *Data) Balanced(node NodeID) *Binding {
	n := s.node(node)
	if !n.flags.has(isBalanced) {
		return nil
	}
	return &s.bindings[n.extra]
}

// Negative returns the SOA of a zone for negative answers, TTL = min(SOA TTL, SOA minimum) (RFC 2308 3).
// It is empty for a zone without data.
func (s *Data) Negative(zone ZoneID) RRset {
	z := &s.zones[zone]
	if s.updated == nil || s.node(z.apex).set < uint32(len(s.sets)) { // no update has changed the apex
		return s.rrset(&z.negative)
	}
	return s.negative(z)
}

// negative computes what Negative returns. The minimum is the last field of the SOA.
func (s *Data) negative(z *zone) RRset {
	soa, ok := s.RRset(z.apex, dns.TypeSOA)
	if ok {
		soa.TTL = min(soa.TTL, binary.BigEndian.Uint32(soa.Data[len(soa.Data)-4:]))
	}
	return soa
}

// prepareNegative stores what Negative returns, for the zones that no update changes.
func (s *Data) prepareNegative() {
	for i := range s.zones {
		z := &s.zones[i]
		z.negative = rrset{}
		for _, set := range s.nodeSets(s.node(z.apex)) {
			if set.typ == dns.TypeSOA {
				z.negative, z.negative.ttl = set, s.negative(z).TTL
			}
		}
	}
}

// Apex returns a zone's name in wire form. Do not change it.
func (s *Data) Apex(zone ZoneID) dnsname.Wire { return s.NodeName(s.zones[zone].apex) }

// ApexNode returns the node of a zone's name.
func (s *Data) ApexNode(zone ZoneID) NodeID { return s.zones[zone].apex }

// NodeName returns a node's name in wire form. Do not change it.
func (s *Data) NodeName(node NodeID) dnsname.Wire {
	n := s.node(node)
	names, at := s.names, n.name
	if base := uint32(len(names)); at >= base && s.updated != nil {
		names, at = s.updated.names, at-base
	}
	end := at + uint32(n.nameLen)
	return names[at:end:end]
}

// Glue returns the nameservers of the cut at node that have static addresses in our zones: their records are the
// additional section of a referral (RFC 9471). It returns nil if node is not a cut. Do not change it.
func (s *Data) Glue(node NodeID) []GlueID {
	n := s.node(node)
	if !n.flags.has(isCut) {
		return nil
	}
	c := s.cuts[n.extra]
	end := c.first + c.count
	return s.cutGlue[c.first:end:end]
}

// GlueRecords returns the address records of a nameserver: whole records in wire form
// with uncompressed owner names. Do not change them.
func (s *Data) GlueRecords(id GlueID) (count int, records []byte) {
	g := s.glue[id]
	return int(g.count), s.octets(g.off, g.length)
}

// ZoneSummary counts the content of a zone.
type ZoneSummary struct {
	Zone     dnsname.Name
	Serial   uint32
	Names    int // with records or a pool
	Records  int // static ones, including SOA and NS from any source
	Balanced int // names bound to a pool
}

// Summary counts the served data of each zone, in configuration order.
func (s *Data) Summary() []ZoneSummary {
	all := make([]ZoneSummary, len(s.zones))
	for i := range all {
		all[i].Zone, all[i].Serial = s.config.Zones[i].Name, s.Serial(ZoneID(i))
	}
	for id := NodeID(1); id < s.count(); id++ {
		n := s.node(id)
		z := &all[n.zone]
		if n.flags.has(isBalanced) {
			z.Balanced++
		}
		if n.flags.has(isBalanced|isWhoami) || n.sets > 0 && !n.flags.has(isHashed) {
			z.Names++
		}
		for _, set := range s.nodeSets(n) {
			z.Records += int(set.count)
		}
	}
	return all
}

// Configured counts as Summary does, without what updates changed. Do not change it.
func (s *Data) Configured() []ZoneSummary { return s.configured }

// LargestTTLs returns the largest TTL of each zone, in configuration order: of its records, of the names that are bound
// to pools, and of negative answers. That is how long resolvers may keep what the zone has now.
func (s *Data) LargestTTLs() []uint32 {
	all := make([]uint32, len(s.zones))
	for i := range all {
		all[i] = s.Negative(ZoneID(i)).TTL
	}
	for id := NodeID(1); id < s.count(); id++ {
		n := s.node(id)
		largest := &all[n.zone]
		if n.flags.has(isBalanced) {
			for b := range s.bindingsOf(n) {
				*largest = max(*largest, b.TTL)
			}
		}
		for _, set := range s.nodeSets(n) {
			*largest = max(*largest, set.ttl)
		}
	}
	return all
}
