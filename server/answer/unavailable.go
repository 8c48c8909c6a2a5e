package answer

import (
	"fmt"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// missingEDE returns the extended error of a zone without data:
//
//	no primary has sent it yet           14 not ready
//	no primary confirms it for too long  24 invalid data
func missingEDE(why zones.Missing) uint16 {
	if why == zones.NotReady {
		return dns.ExtendedErrorCodeNotReady
	}
	return dns.ExtendedErrorCodeInvalidData
}

// fastUnavailable answers SERVFAIL for a zone without data. A chain of aliases ends before it.
func (r *Responder) fastUnavailable(a *reply, zone zones.ZoneID) {
	if r.chain.n == 0 {
		a.rcode, a.extra.ede = dns.RcodeServerFailure, missingEDE(r.at.active.zones.Missing(zone))
	}
}

// unavailable is fastUnavailable of the slow path.
func (q *question) unavailable(zone zones.ZoneID) {
	if len(q.msg.Answer) == 0 {
		q.msg.Rcode, q.extra.ede = dns.RcodeServerFailure, missingEDE(q.serving.zones.Missing(zone))
	}
}

// explainUnavailable returns the reason of SERVFAIL.
func (q *question) explainUnavailable(name dnsname.Name) string {
	match := q.serving.zones.Lookup(name.Wire(), q.qtype)
	zone := q.serving.snapshot.Config.Zones[match.Zone].Name
	if q.serving.zones.Missing(match.Zone) == zones.NotReady {
		return fmt.Sprintf("no primary has sent zone %s yet", zone)
	}
	return fmt.Sprintf("zone %s has expired: no primary has confirmed it for the time in its SOA record", zone)
}

// noteCopy notes the copy that the zone of a match is served from.
func (q *question) noteCopy(match zones.Match) {
	if copied := q.serving.zones.CopyOf(match.Zone); q.explain && match.Kind != zones.Refused && copied != nil {
		q.note("zone %s is a copy of serial %d from %s", copied.Zone, copied.SOA.Serial, copied.Primary)
	}
}
