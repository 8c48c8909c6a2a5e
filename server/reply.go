package server

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"

	"meridian/zones"
)

const (
	optFixed     = 11 // an OPT record without options
	pointer      = 0xc0
	questionName = headerSize // where the question's name is: owners point at it
)

// section is a place for records in a message.
type section uint8

const (
	answerSection section = iota
	authoritySection
	additionalSection
	sections
)

// reply is an answer being written: the wire path's counterpart of dns.Msg. Its
// records go behind a copy of the query's header and question.
type reply struct {
	out    []byte
	base   int // where in out the message begins
	limit  int // where in out the records must end
	count  [sections]uint16
	flags  byte // of AA and TC
	rcode  byte
	scope  uint8 // of the client subnet
	spills bool  // the records do not fit
}

// newReply begins the answer to q behind out.
func (s *serving) newReply(out []byte, q *query, stream bool) reply {
	a := reply{out: append(out, q.packet[:q.end]...), base: len(out)}
	a.limit = a.base + s.limit(q, stream)
	if q.edns.present {
		a.limit -= optFixed
		if q.edns.nsid {
			a.limit -= len(s.nsid)
		}
		if q.edns.subnet.present {
			a.limit -= 4 + len(q.edns.subnet.raw)
		}
	}
	a.fits(0) // a long NSID leaves no room behind a long question
	return a
}

// addresses adds a record for each of addrs, all of one family, at the question's name.
func (a *reply) addresses(addrs []netip.Addr, qtype uint16, ttl uint32) {
	size := 4
	if qtype == dns.TypeAAAA {
		size = 16
	}
	if !a.fits(len(addrs) * (2 + recordFixed + size)) {
		return
	}
	for _, addr := range addrs {
		a.head(questionName, qtype, ttl)
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

// rrset adds a record set whose owner stands at offset owner of the message.
func (a *reply) rrset(to section, set zones.RRset, owner int) {
	if !a.fits(len(set.Data) + set.Count*recordFixed) { // RDLENGTH is in Data, a pointer is as long
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

// head adds a record's owner, type, class and TTL.
func (a *reply) head(owner int, rrtype uint16, ttl uint32) {
	if a.out[a.base+owner] == 0 {
		a.out = append(a.out, 0) // the root is shorter than a pointer to it
	} else {
		a.out = append(a.out, pointer|byte(owner>>8), byte(owner))
	}
	a.out = append(a.out, byte(rrtype>>8), byte(rrtype), 0, dns.ClassINET,
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl))
}

// records adds count whole records as they stand.
func (a *reply) records(to section, count int, records []byte) {
	if a.fits(len(records)) {
		a.out = append(a.out, records...)
		a.count[to] += uint16(count)
	}
}

// fits reports whether n more octets fit; once something did not, nothing does.
func (a *reply) fits(n int) bool {
	if len(a.out)+n > a.limit {
		a.spills = true
	}
	return !a.spills
}

// finish adds the OPT record, completes the header and returns what was written.
func (a *reply) finish(s *serving, q *query) []byte {
	if a.spills { // RFC 2181 9: the client is to ask again by TCP
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

// opt adds the OPT record: DO as in the query (RFC 3225 3), NSID when asked for
// (RFC 5001 2.2), the client subnet with its scope (RFC 7871 7.2.1).
func (a *reply) opt(s *serving, q *query) {
	var flags byte
	if q.edns.do {
		flags = 0x80
	}
	a.out = append(a.out, 0, 0, byte(dns.TypeOPT), byte(s.udpSize>>8), byte(s.udpSize), 0, 0, flags, 0, 0, 0)
	begin := len(a.out)
	if q.edns.nsid {
		a.out = append(a.out, s.nsid...)
	}
	if q.edns.subnet.present {
		a.out = q.edns.subnet.append(a.out, a.scope)
	}
	binary.BigEndian.PutUint16(a.out[begin-2:], uint16(len(a.out)-begin))
	a.count[additionalSection]++
}
