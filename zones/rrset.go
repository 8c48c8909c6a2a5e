package zones

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// rrset is an RRset without pointers.
type rrset struct {
	off, length uint32 // in Data.data
	ttl         uint32
	typ         uint16
	count       uint16
}

// RRset is pre-rendered: Data holds Count times RDLENGTH RDATA (uncompressed).
type RRset struct {
	Type  uint16
	TTL   uint32
	Count int
	Data  []byte // do not change
}

// RRset finds the static records of a type at node.
func (s *Data) RRset(node NodeID, qtype uint16) (RRset, bool) {
	sets := s.nodeSets(s.node(node))
	for i := range sets {
		if sets[i].typ == qtype {
			return s.rrset(&sets[i]), true
		}
	}
	return RRset{}, false
}

// RRsets returns all static record sets at node (for ANY), without balanced A and AAAA.
func (s *Data) RRsets(node NodeID) []RRset {
	sets := s.nodeSets(s.node(node))
	all := make([]RRset, len(sets))
	for i := range sets {
		all[i] = s.rrset(&sets[i])
	}
	return all
}

func (s *Data) nodeSets(n *node) []rrset {
	sets, first := s.sets, n.set
	if base := uint32(len(sets)); first >= base && s.updated != nil {
		sets, first = s.updated.sets, first-base
	}
	return sets[first : first+uint32(n.sets)]
}

func (s *Data) rrset(set *rrset) RRset {
	return RRset{Type: set.typ, TTL: set.ttl, Count: int(set.count), Data: s.octets(set.off, set.length)}
}

// RRs unpacks an RRset for the slow path.
func (set RRset) RRs(owner string) []dns.RR {
	rrs := make([]dns.RR, 0, set.Count)
	for rdata := range set.rdata {
		header := dns.RR_Header{Name: owner, Rrtype: set.Type, Class: dns.ClassINET, Ttl: set.TTL, Rdlength: uint16(len(rdata))}
		rr, _, err := dns.UnpackRRWithHeader(header, rdata, 0)
		if err != nil {
			panic("zones: a record that does not unpack: " + err.Error()) // pack accepts only valid records
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// rdata yields the data of each record.
func (set RRset) rdata(yield func([]byte) bool) {
	for rest := set.Data; len(rest) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if !yield(rest[2:end]) {
			return
		}
		rest = rest[end:]
	}
}
