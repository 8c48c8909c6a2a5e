package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/server/limit"
)

// checkCookie checks the cookie of the query and makes the one of the answer. It returns false if the query is not
// answered because it has no valid server cookie: only over UDP, where sources can be forged (RFC 7873 5.2.3).
func (r *Responder) checkCookie(source netip.Addr, sound, stream bool) bool {
	q, s := &r.query, r.at.active
	result := s.cookies.Check(&q.cookie, q.edns.cookie, source, r.unixTime())
	q.edns.proved = result == limit.CookieValid
	if r.postponed == nil {
		r.counts.add(uint32(cookiesNew) + uint32(result))
	}
	return q.edns.proved || stream || !s.config.Cookies.Require || !sound || q.opcode() != dns.OpcodeQuery || q.tsig != 0
}

// unixTime returns the time of the batch.
func (r *Responder) unixTime() int64 {
	if r.now == 0 {
		r.now = r.engine.clock().Unix()
	}
	return r.now
}

// badCookie answers BADCOOKIE with a cookie for the next query (RFC 7873 5.2.3). It leaves out NSID: the source may be
// forged.
func (r *Responder) badCookie(out []byte) []byte {
	var a reply
	r.query.edns.nsid = false
	a.begin(r.at.active, out, &r.query, false)
	a.rcode, a.extended = dns.RcodeBadCookie&0xf, dns.RcodeBadCookie>>4
	r.count(dns.RcodeBadCookie, false)
	r.query.edns.echo = false
	return a.finish(r.at.active, &r.query)
}

// asksForCookie reports whether the query has no question, and asks for a cookie or whether one is valid (RFC 7873 5.4).
func (q *query) asksForCookie() bool { return q.empty && q.edns.cookie != nil && q.tsig == 0 }

// cookieRcode returns the response code for such a query.
func (r *Responder) cookieRcode() int {
	if r.query.edns.proved || len(r.query.edns.cookie) == limit.ClientCookieSize {
		return dns.RcodeSuccess
	}
	return dns.RcodeBadCookie
}
