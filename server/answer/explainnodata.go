package answer

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// explainEmpty returns the reason for an empty or incomplete answer, by the first row that applies, or "" if
// there is an answer:
//
//	rcode            found                            reason
//	REFUSED          a zone, RRSIG                    the type is not answered
//	REFUSED          a zone, not for the client       the zone does not answer the client
//	REFUSED          no zone                          no zone contains the name
//	NXDOMAIN         no such name                     the name does not exist
//	any other        AXFR or IXFR                     transfers are answered in another way
//	any other error  -                                the type is not answered
//	NOERROR          a chain that ends early          it loops or is too long
//	NOERROR          servers of a zone below          the name is delegated
//	NOERROR          a pool without an answer         the reason of the pool
//	NOERROR          a balanced name, another type    the pool has no such records
//	NOERROR          a name without such records      it has other records or none of its own
func (q *question) explainEmpty(name dnsname.Name) string {
	if q.found {
		switch q.msg.Rcode {
		case dns.RcodeRefused:
			return q.explainRefused(name)
		case dns.RcodeServerFailure:
			return q.explainUnavailable(name)
		}
	}
	return q.explainEnd(name)
}

// explainEnd is explainEmpty for a zone that answers.
func (q *question) explainEnd(name dnsname.Name) string {
	switch {
	case q.msg.Rcode == dns.RcodeNameError:
		return fmt.Sprintf("%s does not exist, nor any name below it", q.finalName(name))
	case q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR:
		return "a zone is transferred to the servers of its transfer.out only, by its name and over TCP; meridian explain does not ask for transfers"
	case q.msg.Rcode != dns.RcodeSuccess:
		return fmt.Sprintf("type %s is not answered", dns.Type(q.qtype))
	case q.end == chainLoops:
		return fmt.Sprintf("the aliases lead back to a name of the chain: %s is part of a loop", q.finalName(name))
	case q.end == chainTooLong:
		return fmt.Sprintf("the chain of aliases is cut after %d names: a resolver has to ask again for %s", maxChain, q.finalName(name))
	case len(q.msg.Answer) > 0:
		return ""
	case !q.msg.Authoritative:
		return fmt.Sprintf("%s is delegated to other servers", name)
	}
	return q.explainNoData(name)
}

// explainRefused returns the reason of REFUSED for a name that was looked up.
func (q *question) explainRefused(name dnsname.Name) string {
	match := q.serving.zones.Lookup(name.Wire(), q.qtype)
	switch {
	case q.prohibited:
		return fmt.Sprintf("zone %s does not answer %s: see allow and deny of the zone", q.serving.snapshot.Config.Zones[match.Zone].Name, q.source)
	case match.Kind != zones.Refused:
		return "questions for RRSIG are refused (RFC 8482): signatures come with the records that they sign, in answers to questions with DO"
	}
	return fmt.Sprintf("no zone of the configuration contains %s", name)
}

// finalName returns the name at the end of the answer's aliases.
func (q *question) finalName(name dnsname.Name) string {
	if n := len(q.msg.Answer); n > 0 {
		if alias, ok := q.msg.Answer[n-1].(*dns.CNAME); ok {
			return alias.Target
		}
	}
	return string(name)
}

func (q *question) explainNoData(name dnsname.Name) string {
	var parts []string
	for _, s := range q.standings {
		if s.NoDataWhy != "" {
			parts = append(parts, s.NoDataWhy)
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, "; ")
	}
	match := q.serving.zones.Lookup(name.Wire(), q.qtype)
	if q.serving.zones.Balanced(match.Node) != nil && (match.Kind == zones.Exact || match.Kind == zones.Wildcard) {
		pool := q.by.active.snapshot.Config.Pools[q.boundTo].Name
		return fmt.Sprintf("%s is bound to pool %q, which has no records of type %s", name, pool, dns.Type(q.qtype))
	}
	return fmt.Sprintf("%s has no records of type %s", name, dns.Type(q.qtype))
}
