package tsig

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

const (
	headerSize  = 12 // of a message
	recordFixed = 10 // type, class, TTL, RDLENGTH
	beforeMAC   = 10 // time signed, fudge, MAC size
	beforeOther = 6  // original ID, error, other length
	otherSize   = 6  // of the time of the server, in an answer with BADTIME
)

// record is a TSIG record (RFC 8945 4.2).
type record struct {
	name, algorithm dnsname.Wire // lower case
	time            uint64
	fudge           uint16
	mac             []byte
	originalID      uint16
	err             uint16
	other           []byte
}

var errMalformed = errors.New("a TSIG record that is not valid")

// parse reads the TSIG record at at, which is the last one of the message. It is stricter than miekg/dns, which accepts
// truncated data, another class and a TTL.
func parse(msg []byte, at int) (r record, err error) {
	if !wellFormed(msg, at) {
		return r, errMalformed
	}
	rr, _, err := dns.UnpackRR(msg, at)
	if err != nil {
		return r, errMalformed // its names contain invalid pointers
	}
	from, ok := rr.(*dns.TSIG)
	if !ok {
		return r, errMalformed
	}
	if r.name, err = dnsname.ParseWire(from.Hdr.Name); err != nil {
		return r, errMalformed
	}
	if r.algorithm, err = dnsname.ParseWire(from.Algorithm); err != nil {
		return r, errMalformed
	}
	r.name.Fold()
	r.algorithm.Fold()
	r.time, r.fudge, r.originalID, r.err = from.TimeSigned, from.Fudge, from.OrigId, from.Error
	if r.mac, err = hex.DecodeString(from.MAC); err != nil {
		return r, errMalformed
	}
	if r.other, err = hex.DecodeString(from.OtherData); err != nil {
		return r, errMalformed
	}
	return r, nil
}

// wellFormed reports whether the record at at has the class and TTL of a TSIG record, and lengths that add up to the end
// of the message.
func wellFormed(p []byte, at int) bool {
	at, ok := skipName(p, at)
	if !ok || at+recordFixed > len(p) || binary.BigEndian.Uint16(p[at:]) != dns.TypeTSIG {
		return false
	}
	if binary.BigEndian.Uint16(p[at+2:]) != dns.ClassANY || binary.BigEndian.Uint32(p[at+4:]) != 0 {
		return false
	}
	end := at + recordFixed + int(binary.BigEndian.Uint16(p[at+8:]))
	at, ok = skipName(p, at+recordFixed)
	if !ok || at+beforeMAC > len(p) {
		return false
	}
	at += beforeMAC + int(binary.BigEndian.Uint16(p[at+beforeMAC-2:]))
	if at+beforeOther > len(p) {
		return false
	}
	at += beforeOther + int(binary.BigEndian.Uint16(p[at+beforeOther-2:]))
	return at == len(p) && at == end
}

// skipName returns the end of the name at at. It does not follow pointers.
func skipName(p []byte, at int) (end int, ok bool) {
	for at < len(p) {
		switch c := int(p[at]); {
		case c == 0:
			return at + 1, true
		case c >= 0xc0:
			return at + 2, at+2 <= len(p)
		case c > dnsname.MaxLabel:
			return 0, false
		default:
			at += 1 + c
		}
	}
	return 0, false
}

// find returns the offset of the TSIG record of a message, which must be the last record; 0: it has none.
func find(msg []byte) (at int, err error) {
	if len(msg) < headerSize {
		return 0, errMalformed
	}
	at, ok := skipQuestions(msg)
	if !ok {
		return 0, errMalformed
	}
	records := 0
	for i := 6; i < headerSize; i += 2 {
		records += int(binary.BigEndian.Uint16(msg[i:]))
	}
	for i := range records {
		fixed, ok := skipName(msg, at)
		if !ok || fixed+recordFixed > len(msg) {
			return 0, errMalformed
		}
		if binary.BigEndian.Uint16(msg[fixed:]) == dns.TypeTSIG {
			if i != records-1 || binary.BigEndian.Uint16(msg[headerSize-2:]) == 0 {
				return 0, errMalformed // RFC 8945 5.1: it is the last record
			}
			return at, nil
		}
		if at = fixed + recordFixed + int(binary.BigEndian.Uint16(msg[fixed+8:])); at > len(msg) {
			return 0, errMalformed
		}
	}
	return 0, nil
}

// skipQuestions returns the end of the questions of a message.
func skipQuestions(msg []byte) (at int, ok bool) {
	at = headerSize
	for range int(binary.BigEndian.Uint16(msg[4:])) {
		if at, ok = skipName(msg, at); !ok || at+4 > len(msg) {
			return 0, false
		}
		at += 4
	}
	return at, true
}

// size returns the size of the record with a MAC and other data of these sizes.
func (r *record) size(mac, other int) int {
	return len(r.name) + recordFixed + len(r.algorithm) + beforeMAC + mac + beforeOther + other
}

// append appends the record to a message.
func (r *record) append(dst []byte) []byte {
	dst = append(dst, r.name...)
	dst = append(dst, 0, byte(dns.TypeTSIG), 0, dns.ClassANY, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.algorithm)+beforeMAC+len(r.mac)+beforeOther+len(r.other)))
	dst = append(dst, r.algorithm...)
	dst = appendTime(dst, r.time)
	dst = binary.BigEndian.AppendUint16(dst, r.fudge)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.mac)))
	dst = append(dst, r.mac...)
	dst = binary.BigEndian.AppendUint16(dst, r.originalID)
	dst = binary.BigEndian.AppendUint16(dst, r.err)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.other)))
	return append(dst, r.other...)
}

// appendVariables appends what a MAC covers beside the message (RFC 8945 4.3.3), or only the timers for all messages of
// a stream after the first.
func (r *record) appendVariables(dst []byte, timersOnly bool) []byte {
	if timersOnly {
		return binary.BigEndian.AppendUint16(appendTime(dst, r.time), r.fudge)
	}
	dst = append(dst, r.name...)
	dst = append(dst, 0, dns.ClassANY, 0, 0, 0, 0)
	dst = append(dst, r.algorithm...)
	dst = binary.BigEndian.AppendUint16(appendTime(dst, r.time), r.fudge)
	dst = binary.BigEndian.AppendUint16(dst, r.err)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.other)))
	return append(dst, r.other...)
}

// appendTime appends a time of 48 bits.
func appendTime(dst []byte, t uint64) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(t>>32))
	return binary.BigEndian.AppendUint32(dst, uint32(t))
}
