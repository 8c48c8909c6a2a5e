package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// validTSIG reports whether the TSIG record of q conforms to RFC 8945 4.2. The miekg/dns package
// accepts one with truncated data.
func validTSIG(q *query) bool {
	const (
		beforeMAC   = 10 // time signed, fudge, MAC size
		beforeOther = 6  // original ID, error, other length
	)
	p := q.packet
	at, _ := skipName(p, q.tsig) // parse has checked it
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
	_, _, err := dns.UnpackRR(p, q.tsig) // its names may contain invalid pointers
	return err == nil
}

// badKeyTSIG returns the TSIG record that reports an unknown key to the client of q; the record
// of q is valid. It is unsigned (RFC 8945 5.2.1).
func badKeyTSIG(q *query) dns.RR {
	rr, _, err := dns.UnpackRR(q.packet, q.tsig)
	tsig, ok := rr.(*dns.TSIG)
	if err != nil || !ok {
		panic("server: a TSIG record that was valid before is not")
	}
	tsig.Error = dns.RcodeBadKey
	tsig.MAC, tsig.MACSize = "", 0
	tsig.OtherData, tsig.OtherLen = "", 0
	return tsig
}
