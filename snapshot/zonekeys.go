package snapshot

import (
	"time"

	"github.com/miekg/dns"

	"meridian/dnssec/keys"
)

// ZoneKeys describes the keys and signatures of a signed zone, as JSON.
type ZoneKeys struct {
	keys.Report
	Expires time.Time `json:"signatures_expire"` // of the SOA and DNSKEY records that are served now, the first
}

// Keys describes the keys of each signed zone, in the order of the configuration; s may be nil.
func (s *Signing) Keys(now time.Time) []ZoneKeys {
	all := []ZoneKeys{}
	if s == nil {
		return all
	}
	for i := range s.known {
		result, zone := s.known[i].Load(), s.Zones[i]
		if result == nil || zone == nil {
			continue
		}
		z := ZoneKeys{Report: keys.ReportOf(s.cfg.Zones[i].Name, s.cfg.DNSSECPolicy(&s.cfg.Zones[i]), result)}
		z.Expires = zone.Period(zone.Name(), dns.TypeSOA, now).Expiration
		if at := zone.Period(zone.Name(), dns.TypeDNSKEY, now).Expiration; at.Before(z.Expires) {
			z.Expires = at
		}
		all = append(all, z)
	}
	return all
}
