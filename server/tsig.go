package server

import "github.com/miekg/dns"

// readTSIG unpacks the TSIG record of q.
func readTSIG(q *query) (*dns.TSIG, bool) {
	rr, _, err := dns.UnpackRR(q.packet, q.tsig)
	if err != nil {
		return nil, false
	}
	tsig, ok := rr.(*dns.TSIG)
	return tsig, ok
}

// soundTSIG reports whether the TSIG record of q is as RFC 8945 4.2 wants it.
func soundTSIG(q *query) bool {
	tsig, ok := readTSIG(q)
	return ok && tsig.Hdr.Class == dns.ClassANY && tsig.Hdr.Ttl == 0
}

// badKey is the record that tells the client of q that we do not know its key.
// It is unsigned (RFC 8945 5.2.1).
func badKey(q *query) *dns.TSIG {
	tsig, _ := readTSIG(q)
	tsig.Error = dns.RcodeBadKey
	tsig.MAC, tsig.MACSize = "", 0
	tsig.OtherData, tsig.OtherLen = "", 0
	return tsig
}
