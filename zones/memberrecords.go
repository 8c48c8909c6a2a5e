package zones

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
)

// memberSet is the records of a type that a member has in a zone, without pointers.
type memberSet struct {
	zone        ZoneID
	member      pools.MemberID
	typ         uint16
	count       uint16
	off, length uint32 // in Data.data
}

// compare orders sets by zone, member and type.
func (s memberSet) compare(o memberSet) int {
	return cmp.Or(cmp.Compare(s.zone, o.zone), cmp.Compare(s.member, o.member), cmp.Compare(s.typ, o.typ))
}

// typeBits returns the bit of a type that members may have records of; 0: of another type.
func typeBits(qtype uint16) uint8 {
	for i, typ := range config.RecordTypes {
		if typ == qtype {
			return 1 << i
		}
	}
	return 0
}

// The bits of Binding.Types for addresses, after those of config.RecordTypes.
const (
	givesV4 = 1 << (len(config.RecordTypes) + iota)
	givesV6
)

// types returns the bits of the families.
func (f families) types() (bits uint8) {
	if f.v4 {
		bits |= givesV4
	}
	if f.v6 {
		bits |= givesV6
	}
	return bits
}

// Gives reports whether the pool answers a type by the records of its members.
func (b *Binding) Gives(qtype uint16) bool {
	return b.Types&^(givesV4|givesV6) != 0 && b.Types&typeBits(qtype) != 0
}

// MemberTypes yields the types that the pool answers by the records of its members.
func (b *Binding) MemberTypes(yield func(uint16) bool) {
	for i, typ := range config.RecordTypes {
		if b.Types>>i&1 != 0 && !yield(typ) {
			return
		}
	}
}

// MemberRecords returns the records of a type that a member has in a zone, as an RRset without a TTL.
func (s *Data) MemberRecords(zone ZoneID, member pools.MemberID, typ uint16) RRset {
	wanted := memberSet{zone: zone, member: member, typ: typ}
	i, ok := slices.BinarySearchFunc(s.memberSets, wanted, memberSet.compare)
	if !ok {
		return RRset{Type: typ}
	}
	set := &s.memberSets[i]
	end := set.off + set.length
	return RRset{Type: typ, Count: int(set.count), Data: s.data[set.off:end:end]}
}

// An answer from the records of members has at most so many records and so much data, which fits in a message over a
// stream beside everything else. Records beyond that are left out.
const (
	maxMemberRecords = 256
	maxMemberData    = 32 << 10
)

// AppendMemberRecords appends the records of a type that members have in a zone to buf, each once, and returns them as an
// RRset without a TTL.
func (s *Data) AppendMemberRecords(buf []byte, zone ZoneID, members []pools.MemberID, typ uint16) RRset {
	set := RRset{Type: typ, Data: buf[:0]}
	for _, m := range members {
		of := s.MemberRecords(zone, m, typ)
		for rdata := range of.rdata {
			if set.Count == maxMemberRecords || len(set.Data)+2+len(rdata) > maxMemberData || set.has(rdata) {
				continue
			}
			set.Data = binary.BigEndian.AppendUint16(set.Data, uint16(len(rdata)))
			set.Data = append(set.Data, rdata...)
			set.Count++
		}
	}
	return set
}

// has reports whether a record is in the set.
func (set RRset) has(rdata []byte) bool {
	for rest := set.Data; len(rest) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if string(rest[2:end]) == string(rdata) {
			return true
		}
		rest = rest[end:]
	}
	return false
}

// givenTypes returns the types that a name bound to each pool is answered with from the records of members: its own,
// those of nested pools and of its fallback, whatever their state.
func (c *compiler) givenTypes() []uint8 {
	of := func(m *config.Member) (types uint8) {
		for i := range m.Records {
			types |= typeBits(m.Records[i].Type)
		}
		return types
	}
	return foldPools(c, of, func(a, b uint8) uint8 { return a | b })
}

// renderMembers renders the records of members in each zone with a name that they may be answered at. All names exist.
func (c *compiler) renderMembers() {
	firsts := make([]pools.MemberID, len(c.cfg.Pools))
	for i := 1; i < len(firsts); i++ {
		firsts[i] = firsts[i-1] + pools.MemberID(len(c.cfg.Pools[i-1].Members))
	}
	for i := range c.cfg.Zones {
		reached := make(map[pools.ID]bool)
		for b := range c.cfg.Zones[i].Bindings() {
			c.reach(reached, b.Pool)
		}
		for id := range reached {
			members := c.cfg.Pools[id].Members
			for m := range members {
				if len(members[m].Records) > 0 {
					c.renderMember(ZoneID(i), firsts[id]+pools.MemberID(m), &c.cfg.Pools[id], m)
				}
			}
		}
	}
	slices.SortFunc(c.s.memberSets, memberSet.compare)
}

// reach adds a pool with records, its nested pools and its fallback to those that a zone can answer from.
func (c *compiler) reach(reached map[pools.ID]bool, name string) {
	id, ok := c.pools[name]
	if !ok || c.memberTypes[id] == 0 || reached[id] {
		return
	}
	reached[id] = true
	c.reach(reached, c.cfg.Pools[id].Fallback)
	for i := range c.cfg.Pools[id].Members {
		if below := c.cfg.Pools[id].Members[i].Pool; below != "" {
			c.reach(reached, below)
		}
	}
}

// renderMember renders the records of the i-th member of a pool in a zone.
func (c *compiler) renderMember(z ZoneID, id pools.MemberID, p *config.Pool, i int) {
	m := &p.Members[i]
	sets := make([]memberSet, len(config.RecordTypes))
	for t, typ := range config.RecordTypes {
		set := RRset{Type: typ}
		for j := range m.Records {
			r := &m.Records[j]
			if r.Type != typ {
				continue
			}
			rdata, err := c.memberRData(z, r, m.Name)
			if err != nil {
				path := fmt.Sprintf("pools.%s.members[%d]%s", p.Name, i, r.Path)
				c.errs = append(c.errs, c.cfg.ErrorAt(r.Pos, path, err.Error(), memberHint))
				continue
			}
			if !set.has(rdata) {
				set.Data = append(binary.BigEndian.AppendUint16(set.Data, uint16(len(rdata))), rdata...)
				set.Count++
			}
		}
		sets[t] = memberSet{zone: z, member: id, typ: typ, count: uint16(set.Count), off: uint32(len(c.s.data)), length: uint32(len(set.Data))}
		c.s.data = append(c.s.data, set.Data...)
	}
	sets = slices.DeleteFunc(sets, func(s memberSet) bool { return s.count == 0 })
	c.s.memberSets = append(c.s.memberSets, sets...)
}

const memberHint = "write a name that exists; one without a final dot is relative to the zone of the name that is bound to the pool"

// memberRData returns the data of a record of a member in a zone.
func (c *compiler) memberRData(z ZoneID, r *config.Record, member string) ([]byte, error) {
	zone := c.cfg.Zones[z].Name
	rr, err := r.In(zone, member)
	if err != nil {
		return nil, fmt.Errorf("%s %q in zone %q: %w", config.RecordTypeName(r.Type), r.Text, zone, err)
	}
	rdata, err := c.pack(rr)
	if err != nil {
		return nil, fmt.Errorf("%s %q in zone %q: %w", config.RecordTypeName(r.Type), r.Text, zone, err)
	}
	if lack := c.lackOfHost(z, hostOf(rr)); lack != "" {
		return nil, fmt.Errorf("%s %q in zone %q: %s %s", config.RecordTypeName(r.Type), r.Text, zone, hostOf(rr), lack)
	}
	return slices.Clone(rdata), nil
}

// hostOf returns the host that a record names; "": none.
func hostOf(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.SRV:
		return rr.Target
	case *dns.MX:
		return rr.Mx
	case *dns.SVCB:
		return rr.Target
	case *dns.HTTPS:
		return rr.Target
	}
	return ""
}

// lackOfHost says what a host of a record lacks, if one of our zones should have it. "." is no host, or the owner itself.
func (c *compiler) lackOfHost(z ZoneID, host string) string {
	if host == "" || host == "." {
		return ""
	}
	name, err := dnsname.ParseWire(host)
	if err != nil {
		return "is not a domain name"
	}
	switch m := c.s.Lookup(name.Folded(), dns.TypeA); m.Kind {
	case NXDomain:
		if !c.hasErrors[m.Zone] {
			return "does not exist"
		}
	case Exact, Wildcard:
		if n := &c.s.nodes[m.Node]; n.sets == 0 && !n.flags.has(isBalanced) && !c.hasErrors[m.Zone] {
			return "has no records"
		}
	}
	return ""
}

// checkMemberTypes checks that only the pool gives the types of its members' records at a balanced name.
func (c *compiler) checkMemberTypes(id NodeID) {
	n := &c.s.nodes[id]
	if !n.flags.has(isBalanced) {
		return
	}
	for b := range c.s.bindingsOf(n) {
		for typ := range b.MemberTypes {
			if _, at, ok := c.setOf(id, typ); ok {
				c.errorf(at, "remove one of the two", "%s of %s, whose pool %q has members with %[1]s records", typeName(typ), c.quoted(id), c.cfg.Pools[b.Pool].Name)
			}
		}
		if b.Gives(dns.TypeHTTPS) && b.HTTPS.Exists() {
			c.nameErrorf(n.zone, c.balancedName(id), "remove one of the two", "https, and pool %q has members with HTTPS records", c.cfg.Pools[b.Pool].Name)
		}
	}
}
