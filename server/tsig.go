package server

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// validTSIG reports whether the TSIG record of q is as RFC 8945 4.2 wants it.
// miekg/dns would take one whose data ends early.
func validTSIG(q *query) bool {
	const (
		beforeMAC   = 10 // time signed, fudge, MAC size
		beforeOther = 6  // original ID, error, other length
	)
	p := q.packet
	at, _ := skipName(p, q.tsig) // parse found it sound
	if binary.BigEndian.Uint16(p[at+2:]) != dns.ClassANY || binary.BigEndian.Uint32(p[at+4:]) != 0 {
		return false
	}
	at, ok := skipName(p, at+recordFixed)
	if !ok || at+beforeMAC > len(p) {
		return false
	}
	at += beforeMAC + int(binary.BigEndian.Uint16(p[at+beforeMAC-2:]))
	if at+beforeOther > len(p) {
		return false
	}
	at += beforeOther + int(binary.BigEndian.Uint16(p[at+beforeOther-2:]))
	if at != len(p) {
		return false
	}
	_, _, err := dns.UnpackRR(p, q.tsig) // its names may hold pointers that lead nowhere
	return err == nil
}

// badKeyTSIG is the record that tells the client of q, whose TSIG is sound, that
// we do not know its key. It is unsigned (RFC 8945 5.2.1).
func badKeyTSIG(q *query) dns.RR {
	rr, _, err := dns.UnpackRR(q.packet, q.tsig)
	tsig, ok := rr.(*dns.TSIG)
	if err != nil || !ok {
		panic("server: a TSIG record that was sound and is not")
	}
	tsig.Error = dns.RcodeBadKey
	tsig.MAC, tsig.MACSize = "", 0
	tsig.OtherData, tsig.OtherLen = "", 0
	return tsig
}
