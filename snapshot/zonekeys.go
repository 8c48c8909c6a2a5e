package snapshot

import (
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnssec/keys"
	"meridian/zones"
)

// ZoneKeys describes the keys and signatures of a signed zone, as JSON.
type ZoneKeys struct {
	keys.Report
	Expires   time.Time `json:"signatures_expire"`   // of the SOA and DNSKEY records that are served now, or of all in a presigned zone, the first
	Presigned bool      `json:"presigned,omitempty"` // the signatures are in the zone's file; no keys are known
	Expiring  string    `json:"expiring,omitempty"`  // of a presigned zone: that a signature has expired, or will soon
}

// SignedZones describes each zone that is signed or presigned, in the order of the configuration.
func (s *Snapshot) SignedZones(now time.Time) []ZoneKeys {
	all := []ZoneKeys{}
	for i := range s.Config.Zones {
		if p := s.Zones.Presigned(zones.ZoneID(i)); p != nil {
			all = append(all, presignedZone(string(s.Config.Zones[i].Name), p, now))
			continue
		}
		if s.Signing.Of(zones.ZoneID(i)) == nil {
			continue
		}
		if z, ok := s.Signing.zoneKeys(i, now); ok {
			all = append(all, z)
		}
	}
	return all
}

func presignedZone(name string, p *zones.Presigned, now time.Time) ZoneKeys {
	return ZoneKeys{Report: keys.Report{Zone: name, Keys: []keys.KeyReport{}}, Expires: p.Expires, Presigned: true, Expiring: p.State(now)}
}

// zoneKeys describes a zone that this server signs.
func (s *Signing) zoneKeys(i int, now time.Time) (z ZoneKeys, ok bool) {
	result, zone := s.known[i].Load(), s.Zones[i]
	if result == nil || zone == nil {
		return z, false
	}
	z.Report = keys.ReportOf(s.cfg.Zones[i].Name, s.cfg.DNSSECPolicy(&s.cfg.Zones[i]), result)
	z.Expires = zone.Period(zone.Name(), dns.TypeSOA, now).Expiration
	if at := zone.Period(zone.Name(), dns.TypeDNSKEY, now).Expiration; at.Before(z.Expires) {
		z.Expires = at
	}
	return z, true
}

// Presigned reports whether the file of a zone of a configuration has signatures that are served. It returns false if
// the zones have errors.
func Presigned(cfg *config.Config, zone int) bool {
	if cfg.Zones[zone].File == "" {
		return false
	}
	data, _ := zones.Compile(cfg)
	return data != nil && data.Presigned(zones.ZoneID(zone)) != nil
}
