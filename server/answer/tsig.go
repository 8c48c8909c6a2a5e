package answer

import (
	"github.com/miekg/dns"

	"meridian/transfer/tsig"
)

// verify checks the TSIG record of the query, and prepares to sign the answer. It reports whether the record is
// well-formed; a query without one is.
func (r *Responder) verify(sound bool) bool {
	r.tsig = nil
	if !sound || r.query.tsig == 0 {
		return sound
	}
	response, err := tsig.Verify(r.at.active.snapshot.TSIG, r.query.packet, r.query.tsig, r.engine.clock())
	if err != nil {
		return false
	}
	r.tsig = response
	return true
}

// tsigRcode returns NOTAUTH if the signature of the query has an error (RFC 8945 5.2).
func (r *Responder) tsigRcode() int {
	if r.tsig != nil && r.tsig.Error != tsig.NoError {
		return dns.RcodeNotAuth
	}
	return dns.RcodeSuccess
}

// withoutTSIG returns the part of limit that is left for an answer without its TSIG record. A record with names so long
// that it leaves no room for the question is left out.
func (r *Responder) withoutTSIG(limit int) int {
	if r.tsig == nil {
		return limit
	}
	left := limit - r.tsig.Size()
	if left < r.query.end+r.query.optSize() {
		r.tsig = nil
		return limit
	}
	return left
}

// appendTSIG adds the TSIG record to the answer that begins at base of out.
func (r *Responder) appendTSIG(out []byte, base int) []byte {
	if r.tsig == nil {
		return out
	}
	return r.tsig.Append(out, base, r.engine.clock())
}
