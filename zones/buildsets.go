package zones

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// maxSet is the largest RRset in bytes: a larger one fits in no message. The rest of 64 KiB is for the header, the
// question and EDNS.
const maxSet = 1<<16 - 1024

// maxTypes is the number of RRsets that a name may have. A query looks at all of them, so many make it slow (CVE-2024-1737).
const maxTypes = 100

// MaxInSet is the number of records of one name and type that updates may make. More in a master file or the configuration are
// served with a warning: a larger answer is slower to make, and most fit into no UDP packet (CVE-2024-1737).
const MaxInSet = 100

// addSets builds the RRsets of all records.
func (c *compiler) addSets() {
	slices.SortFunc(c.records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.typ, b.typ), cmp.Compare(a.data, b.data))
	})
	for rest := c.records; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].node == rest[0].node && rest[n].typ == rest[0].typ {
			n++
		}
		c.addSet(rest[:n])
		rest = rest[n:]
	}
}

// addSet adds the set of these records, all of one node and type.
func (c *compiler) addSet(records []record) {
	if len(records) > 1 {
		records = c.distinct(c.override(records))
	}
	first := records[0]
	set := rrset{off: uint32(len(c.s.data)), ttl: c.lowestTTL(records), typ: first.typ, count: uint16(len(records))}
	size := 0
	for _, r := range records {
		c.s.data = binary.BigEndian.AppendUint16(c.s.data, r.length)
		c.s.data = append(c.s.data, c.rdataOf(r)...)
		size += 12 + int(r.length)
	}
	set.length = uint32(len(c.s.data)) - set.off
	if size > maxSet {
		c.errorf(first.at, "", "%s of %s has %d bytes in %d records, more than the %d that fit in a message",
			typeName(first.typ), c.quoted(first.node), size, len(records), maxSet)
	}
	if len(records) > MaxInSet {
		c.warnf(first.at, tooManyHint(first.typ), "%s has %d %s records; each answer has all of them", c.quoted(first.node), len(records), typeName(first.typ))
	}
	n := &c.s.nodes[first.node]
	if n.sets == 0 {
		n.set = uint32(len(c.s.sets))
	}
	if n.sets++; n.sets == maxTypes+1 {
		c.errorf(first.at, "use more names", "%s has more than %d types", c.quoted(first.node), maxTypes)
	}
	c.s.sets = append(c.s.sets, set)
	c.setAt = append(c.setAt, first.at)
}

// tooManyHint returns the correction for too many records of a type.
func tooManyHint(typ uint16) string {
	if typ == dns.TypeA || typ == dns.TypeAAAA {
		return fmt.Sprintf("bind the name to a pool, which answers some of its members, or write at most %d", MaxInSet)
	}
	return fmt.Sprintf("write at most %d", MaxInSet)
}

func (c *compiler) rdataOf(r record) []byte { return c.rdata[r.data : r.data+uint32(r.length)] }

// override removes records made from the configuration if there are any from the master file.
func (c *compiler) override(records []record) []record {
	written := func(r record) bool { return !c.configured(r.at) }
	if !slices.ContainsFunc(records, written) {
		return records
	}
	made := slices.DeleteFunc(slices.Clone(records), written)
	kept := slices.DeleteFunc(slices.Clone(records), func(r record) bool { return !written(r) })
	if typ := records[0].typ; typ != dns.TypeA && typ != dns.TypeAAAA {
		return kept // SOA and NS of the file win, as documented
	}
	for _, r := range made {
		if !slices.ContainsFunc(kept, func(k record) bool { return bytes.Equal(c.rdataOf(k), c.rdataOf(r)) }) {
			c.warnf(r.at, "write the same records in both", "the address is not used, for %s has other %s records for %s",
				c.where(kept[0].at), typeName(r.typ), c.quoted(r.node))
			break
		}
	}
	return kept
}

// distinct removes duplicate records (RFC 2181 5). Names in the data compare without case, other data exactly.
func (c *compiler) distinct(records []record) []record {
	alike := make(map[string][]dns.RR, len(records)) // by the data in lower case
	kept := make([]record, 0, len(records))
	for _, r := range records {
		folded := dnsname.Wire(c.rdataOf(r)).Folded() // names in it, and other data that looks like letters
		rr := c.unpack(r)
		same := func(other dns.RR) bool { return dns.IsDuplicate(rr, other) }
		if slices.ContainsFunc(alike[string(folded)], same) {
			continue
		}
		alike[string(folded)] = append(alike[string(folded)], rr)
		kept = append(kept, r)
	}
	return kept
}

func (c *compiler) unpack(r record) dns.RR {
	h := dns.RR_Header{Name: ".", Rrtype: r.typ, Class: dns.ClassINET, Rdlength: r.length}
	rr, _, err := dns.UnpackRRWithHeader(h, c.rdataOf(r), 0)
	if err != nil {
		panic("zones: a record that does not unpack: " + err.Error()) // pack accepts only valid records
	}
	return rr
}

// lowestTTL returns the TTL of a set: one for all its records (RFC 2181 5.2). RRSIGs are not a set: each has the TTL
// of the set that it signs.
func (c *compiler) lowestTTL(records []record) uint32 {
	lowest := records[0].ttl
	for _, r := range records {
		lowest = min(lowest, r.ttl)
	}
	for _, r := range records {
		if r.ttl != records[0].ttl && r.typ != dns.TypeRRSIG {
			c.warnf(r.at, "give all of them one TTL", "TTL %d differs from TTL %d of another %s of %s, and the lowest, %d, is used",
				r.ttl, records[0].ttl, typeName(r.typ), c.quoted(r.node), lowest)
			break
		}
	}
	return lowest
}
