package answer

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"

	"meridian/server/limit"
	"meridian/zones"
)

const (
	optFixed     = 11 // an OPT record without options
	optionHead   = 4  // the code and length before an option's data
	pointer      = 0xc0
	maxPointer   = 0x3fff     // the largest offset that a pointer can have
	questionName = HeaderSize // where the question's name is: owners point at it
)

// section is a place for records in a message.
type section uint8

const (
	answerSection section = iota
	authoritySection
	additionalSection
	sections
)

// reply is an answer being written: the counterpart of dns.Msg on the fast path. Its records
// follow a copy of the query's header and question.
type reply struct {
	out      []byte
	base     int // start of the message in out
	limit    int // end of the space for records in out
	count    [sections]uint16
	flags    byte // AA and TC
	rcode    byte
	extended byte   // the upper bits of a response code that needs an OPT record
	scope    uint8  // of the client subnet
	nsid     []byte // the NSID option; empty: none
	stream   bool   // TCP: the client has no larger transport for a retry
	signs    bool   // the client asks for signatures, and some zone has them
	extra    extras
	spills   bool // the records do not fit
	full     bool // glue was left out; no more records follow

	wildcard   zones.NodeID // that the current name is expanded from, in a zone with an NSEC chain; 0: none
	owner      int          // offset of the current name in the message; 0: the root
	name       []byte       // the current name in lower case
	target     int          // offset of the target of the last CNAME in the message
	draw       uint64       // for the decisions of this answer
	drawn      bool
	poolDraw   uint64 // for the decision of the current pool
	hops       int    // pools that have answered with a CNAME so far
	failedOpen bool
}

// begin begins the answer to q after the content of out. a is empty.
func (a *reply) begin(s *activeSnapshot, out []byte, q *query, stream bool) {
	limit := s.limit(q, stream)
	a.base, a.out = len(out), append(out, q.packet[:q.end]...)
	a.stream, a.signs = stream, s.denials != nil && q.edns.do
	a.owner, a.name = questionName, q.name
	if len(q.name) == 1 {
		a.owner = 0
	}
	a.nsid = s.nsidFor(q, limit)
	a.limit = a.base + limit - q.optSize() - len(a.nsid)
}

// optSize returns the size reserved for the OPT record of the answer to q, without NSID. It
// includes the client subnet of the query, although the answer may not carry it.
func (q *query) optSize() int {
	if !q.edns.present {
		return 0
	}
	size := optFixed
	if q.edns.subnet.present {
		size += optionHead + len(q.edns.subnet.raw)
	}
	if q.edns.cookie != nil {
		size += optionHead + limit.CookieSize
	}
	return size
}

// nsidFor returns the NSID option of the answer to q, of at most limit octets. It returns nil if
// the query does not request it, or if a long question leaves no room.
func (s *activeSnapshot) nsidFor(q *query, limit int) []byte {
	if !q.edns.nsid || q.end+q.optSize()+len(s.nsid) > limit {
		return nil
	}
	return s.nsid
}

// cname adds a CNAME at the current name.
func (a *reply) cname(target []byte, ttl uint32) {
	if !a.fits(ownerSize(a.owner) + recordFixed + len(target)) {
		return
	}
	a.head(a.owner, dns.TypeCNAME, ttl)
	a.out = append(a.out, byte(len(target)>>8), byte(len(target)))
	a.out = append(a.out, target...)
	a.target = len(a.out) - a.base - len(target)
	a.count[answerSection]++
}

// addresses adds a record for each of addrs, all of one family, at the current name. Over a
// stream it leaves out the records that do not fit: the pool draws a subset of the addresses
// anyway, and a truncated answer has no larger transport.
func (a *reply) addresses(addrs []netip.Addr, qtype uint16, ttl uint32) {
	size := ownerSize(a.owner) + recordFixed + 4
	if qtype == dns.TypeAAAA {
		size += 16 - 4
	}
	if a.stream {
		addrs = addrs[:min(len(addrs), (a.limit-len(a.out))/size)]
	}
	if !a.fits(len(addrs) * size) {
		return
	}
	for _, addr := range addrs {
		a.head(a.owner, qtype, ttl)
		if qtype == dns.TypeA {
			v4 := addr.As4()
			a.out = append(a.out, 0, 4, v4[0], v4[1], v4[2], v4[3])
			continue
		}
		v6 := addr.As16()
		a.out = append(a.out, 0, 16)
		a.out = append(a.out, v6[:]...)
	}
	a.count[answerSection] += uint16(len(addrs))
}

// rrset adds a record set with the owner at offset owner of the message.
func (a *reply) rrset(to section, set zones.RRset, owner int) {
	head := ownerSize(owner) + recordFixed - 2 // RDLENGTH is in Data
	if !a.fits(len(set.Data) + set.Count*head) {
		return
	}
	for data := set.Data; len(data) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(data))
		a.head(owner, set.Type, set.TTL)
		a.out = append(a.out, data[:end]...)
		data = data[end:]
	}
	a.count[to] += uint16(set.Count)
}

// ownerSize returns the size of an owner that points to offset; offset 0 is the root, which is
// shorter than a pointer to it.
func ownerSize(offset int) int {
	if offset == 0 {
		return 1
	}
	return 2
}

// head adds a record's owner, type, class and TTL.
func (a *reply) head(owner int, rrtype uint16, ttl uint32) {
	if owner == 0 {
		a.out = append(a.out, 0)
	} else {
		a.out = append(a.out, pointer|byte(owner>>8), byte(owner))
	}
	a.fixed(rrtype, ttl)
}

// fixed adds a record's type, class and TTL.
func (a *reply) fixed(rrtype uint16, ttl uint32) {
	a.out = append(a.out, byte(rrtype>>8), byte(rrtype), 0, dns.ClassINET,
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl))
}

// glue adds the address records of a name server. Over a stream it leaves out the records that do
// not fit: a truncated referral has no larger transport.
func (a *reply) glue(count int, records []byte) {
	if a.stream {
		count, records = a.fitting(count, records)
	}
	if a.fits(len(records)) {
		a.out = append(a.out, records...)
		a.count[additionalSection] += uint16(count)
	}
}

// fitting returns the records that fit; after the first one that does not, it returns none.
func (a *reply) fitting(count int, records []byte) (int, []byte) {
	room := a.limit - len(a.out)
	if a.full || len(records) <= room {
		if a.full {
			return 0, nil
		}
		return count, records
	}
	a.full = true
	fit, end := 0, 0
	for {
		owner, _ := skipName(records, end)
		next := owner + recordFixed + int(binary.BigEndian.Uint16(records[owner+recordFixed-2:]))
		if next > room {
			return fit, records[:end]
		}
		fit, end = fit+1, next
	}
}

// fits reports whether n more octets fit. After the first false it always returns false.
func (a *reply) fits(n int) bool {
	if len(a.out)+n > a.limit {
		a.spills = true
	}
	return !a.spills
}

// finish adds the OPT record, completes the header and returns the message.
func (a *reply) finish(s *activeSnapshot, q *query) []byte {
	if a.spills { // RFC 2181 9: the client retries by TCP
		a.out = a.out[:a.base+q.end]
		a.count = [sections]uint16{}
		a.flags |= flagTC
	}
	if q.edns.present {
		a.opt(s, q)
	}
	h := a.out[a.base:]
	h[2] = flagQR | h[2]&(opcodeMask|flagRD) | a.flags
	h[3] = h[3]&flagCD | a.rcode
	for i, n := range a.count {
		binary.BigEndian.PutUint16(h[6+2*i:], n)
	}
	return a.out
}

// opt adds the OPT record: DO as in the query (RFC 3225 3), NSID if requested (RFC 5001 2.2), the cookie
// (RFC 7873 5.2), the client subnet with its scope (RFC 7871 7.2.1), and what fits of the extras.
func (a *reply) opt(s *activeSnapshot, q *query) {
	var flags byte
	if q.edns.do {
		flags = ednsDO
	}
	if a.signs && q.edns.co {
		flags |= ednsCO
	}
	a.out = append(a.out, 0, 0, byte(dns.TypeOPT), byte(s.udpSize>>8), byte(s.udpSize), a.extended, 0, flags, 0, 0, 0)
	begin := len(a.out)
	a.out = append(a.out, a.nsid...)
	if q.edns.cookie != nil {
		a.out = append(a.out, 0, optionCookie, 0, limit.CookieSize)
		a.out = append(a.out, q.cookie[:]...)
	}
	if q.edns.carriesSubnet() {
		a.out = q.edns.subnet.append(a.out, a.scope)
	}
	if a.extra != (extras{}) {
		a.out = a.extra.append(a.out, s.zones, a.base+s.limit(q, a.stream)-len(a.out))
	}
	binary.BigEndian.PutUint16(a.out[begin-2:], uint16(len(a.out)-begin))
	a.count[additionalSection]++
}
