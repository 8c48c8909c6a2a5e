package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/limit"
)

// The fixed parts of a message, in octets (RFC 1035 4.1).
const (
	HeaderSize  = 12
	recordFixed = 10 // type, class, TTL and RDLENGTH, after a record's owner
)

// The bits of the third octet of an OPT record's TTL.
const (
	ednsDO = 0x80 // RFC 3225 3
	ednsCO = 0x40 // RFC 9824 5.1
)

// The bits of the header's third and fourth octets.
const (
	flagQR = 0x80
	flagAA = 0x04
	flagTC = 0x02
	flagRD = 0x01
	flagCD = 0x10

	opcodeMask = 0x78
)

// query is a message, parsed in place. It points into the packet and is overwritten by the next
// message.
type query struct {
	packet []byte
	end    int // the end of the question; 0: it could not be read
	name   []byte
	qtype  uint16
	class  uint16
	edns   edns
	tsig   int // offset of a TSIG record; 0: none

	empty  bool                   // it has no question, and is well-formed otherwise
	cookie [limit.CookieSize]byte // of the answer, if edns has one of the query

	folded [dnsname.MaxSize + 8]byte // storage of name: lower case, padded to whole words
}

// edns holds the content of the OPT record (RFC 6891 6.1).
type edns struct {
	present     bool
	do          bool
	co          bool // compact denial is understood (RFC 9824 5.1)
	nsid        bool
	padded      bool // it has padding (RFC 7830)
	keepalive   bool // it asks for a time to keep a TCP connection (RFC 7828)
	zoneVersion bool // the version of the zone is asked for (RFC 9660)
	version     uint8
	size        uint16 // the client's maximum UDP message size
	subnet      clientSubnet
	cookie      []byte // the data of the COOKIE option (RFC 7873 4); nil: none
	proved      bool   // the cookie is valid: the client receives what is sent to its address
	echo        bool   // the answer carries the subnet, if the query does: see decidedBy
	decided     bool   // by a pool
}

// carriesSubnet reports whether the answer carries the client subnet.
func (e *edns) carriesSubnet() bool { return e.subnet.present && e.echo }

func (q *query) opcode() int { return int(q.packet[2]&opcodeMask) >> 3 }

// fastPathEligible reports whether the fast path may answer: an ordinary question of class IN for
// a data type.
func (q *query) fastPathEligible() bool {
	return q.class == dns.ClassINET && !metaType(q.qtype) && q.plain()
}

// plain reports whether the message is a QUERY of a known EDNS version without a signature.
func (q *query) plain() bool {
	return q.packet[2]&opcodeMask == 0 && q.edns.version == 0 && q.tsig == 0
}

// metaType reports whether t is not a data type (RFC 6895 3.1); 0 is reserved.
func metaType(t uint16) bool {
	return t == 0 || t == dns.TypeOPT || t >= 128 && t <= 255
}

// parse reads packet, which has at least a header. It reports whether the message is well-formed;
// otherwise end and edns hold the parts before the error. If readSubnet is false, it skips
// client-subnet options.
func (q *query) parse(packet []byte, readSubnet bool) bool {
	q.packet, q.end, q.tsig, q.empty = packet, 0, 0, false
	q.edns = edns{}
	questions := int(binary.BigEndian.Uint16(packet[4:]))
	at, sound := q.parseQuestions(questions)
	if !sound {
		return false
	}
	// The usual query holds nothing else, or one OPT record.
	before := int(binary.BigEndian.Uint16(packet[6:])) + int(binary.BigEndian.Uint16(packet[8:]))
	total := before + int(binary.BigEndian.Uint16(packet[10:]))
	for i := range total {
		next, ok := q.parseRecord(at, i >= before, i == total-1, readSubnet)
		if !ok {
			return false
		}
		at = next
	}
	q.empty = questions == 0 && at == len(packet)
	return questions == 1 && at == len(packet)
}

// parseQuestions reads the question and returns its end. If the number is not one, it reads none
// and none is answered, but an OPT record after them still requires one in the answer (RFC 6891
// 6.1.1).
func (q *query) parseQuestions(n int) (end int, ok bool) {
	if n == 1 {
		ok = q.parseQuestion()
		return q.end, ok
	}
	end = HeaderSize
	for range n {
		if end, ok = skipName(q.packet, end); !ok {
			return 0, false
		}
		if end += 4; end > len(q.packet) { // type and class
			return 0, false
		}
	}
	return end, true
}

// parseQuestion reads the question. Its name cannot be compressed: there is no earlier name.
func (q *query) parseQuestion() bool {
	p := q.packet
	at := HeaderSize
	for {
		if at >= len(p) || p[at] > dnsname.MaxLabel {
			return false
		}
		if p[at] == 0 {
			break
		}
		at += 1 + int(p[at])
	}
	at++
	if at-HeaderSize > dnsname.MaxSize || at+4 > len(p) {
		return false
	}
	q.fold(p[HeaderSize:at])
	q.qtype = binary.BigEndian.Uint16(p[at:])
	q.class = binary.BigEndian.Uint16(p[at+2:])
	q.end = at + 4
	return true
}

// fold sets name to wire in lower case. It processes eight octets at a time. Length octets are
// below 'A' and do not change. The simple version is a loop of `if 'A' <= c && c <= 'Z' { c +=
// 'a' - 'A' }`.
func (q *query) fold(wire []byte) {
	const ones = 0x0101010101010101
	n := copy(q.folded[:], wire)
	for at := 0; at < n; at += 8 {
		word := binary.LittleEndian.Uint64(q.folded[at:])
		low := word & (0x7f * ones)
		fromA := low + (0x80-'A')*ones  // bit 7 set where the octet is at least 'A'
		aboveZ := low + (0x7f-'Z')*ones // and where it is above 'Z'
		upper := (fromA ^ aboveZ) &^ word & (0x80 * ones)
		binary.LittleEndian.PutUint64(q.folded[at:], word|upper>>2)
	}
	q.name = q.folded[:n]
}

// parseRecord reads the record at at and returns the start of the next one.
func (q *query) parseRecord(at int, additional, last, readSubnet bool) (next int, ok bool) {
	p := q.packet
	fixed, ok := skipName(p, at)
	if !ok || fixed+recordFixed > len(p) {
		return 0, false
	}
	next = fixed + recordFixed + int(binary.BigEndian.Uint16(p[fixed+8:]))
	if next > len(p) {
		return 0, false
	}
	if !additional {
		return next, true
	}
	switch binary.BigEndian.Uint16(p[fixed:]) {
	case dns.TypeOPT:
		// RFC 6891 6.1.1: one OPT at most; 6.1.2: its owner is the root.
		if q.edns.present || p[at] != 0 {
			return 0, false
		}
		q.edns.read(p[fixed+2:])
		return next, q.edns.version != 0 || q.edns.readOptions(p[fixed+recordFixed:next], readSubnet)
	case dns.TypeTSIG:
		q.tsig = at
		return next, last // RFC 8945 5.1: it is the last record
	}
	return next, true
}

// skipName returns the end of the name at at. It does not follow pointers; a pointer must point
// backwards.
func skipName(p []byte, at int) (end int, ok bool) {
	for size := 1; at < len(p); {
		c := int(p[at])
		switch {
		case c == 0:
			return at + 1, true
		case c >= 0xc0:
			return at + 2, at+2 <= len(p) && (c&0x3f)<<8|int(p[at+1]) < at
		case c > dnsname.MaxLabel:
			return 0, false
		}
		at += 1 + c
		if size += 1 + c; size > dnsname.MaxSize {
			return 0, false
		}
	}
	return 0, false
}

// read takes the fields that an OPT record stores in its class and TTL.
func (e *edns) read(classOn []byte) {
	e.present = true
	e.size = binary.BigEndian.Uint16(classOn)
	e.version = classOn[3]
	e.do = classOn[4]&ednsDO != 0
	e.co = classOn[4]&ednsCO != 0
}

// readOptions reads the options of an OPT record (RFC 6891 6.1.2). It skips unsupported ones, and all cookies but the
// first (RFC 7873 4).
func (e *edns) readOptions(p []byte, readSubnet bool) bool {
	for len(p) > 0 {
		if len(p) < 4 {
			return false
		}
		code := binary.BigEndian.Uint16(p)
		end := 4 + int(binary.BigEndian.Uint16(p[2:]))
		if end > len(p) {
			return false
		}
		if !e.readOption(code, p[4:end], readSubnet) {
			return false
		}
		p = p[end:]
	}
	return true
}

// readOption reads one option with its data.
func (e *edns) readOption(code uint16, data []byte, readSubnet bool) bool {
	switch code {
	case dns.EDNS0NSID:
		e.nsid = true
	case dns.EDNS0TCPKEEPALIVE:
		e.keepalive = true
	case dns.EDNS0PADDING:
		e.padded = true
	case dns.EDNS0ZONEVERSION:
		e.zoneVersion = true // whatever its data: RFC 9660 3.2
	case dns.EDNS0COOKIE:
		return e.readCookie(data)
	case dns.EDNS0SUBNET:
		return !readSubnet || !e.subnet.present && e.subnet.parse(data) // two subnets are two clients
	}
	return true
}

// readCookie takes the data of a COOKIE option, unless its size is wrong.
func (e *edns) readCookie(p []byte) bool {
	if !limit.CookieSizeOK(len(p)) {
		return false
	}
	if e.cookie == nil {
		e.cookie = p
	}
	return true
}
