package zones

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// The timers of an SOA made from the configuration, in seconds (RFC 1035 3.3.13).
const (
	soaRefresh = 14400
	soaRetry   = 3600
	soaExpire  = 604800
)

// addApexRecords adds the configured SOA, NS and glue. Sets that the zone's file also has replace them, in addSets.
func (c *compiler) addApexRecords(z ZoneID, changed time.Time) {
	zone := &c.cfg.Zones[z]
	if len(zone.Nameservers) == 0 {
		return
	}
	if zone.Contact != "" {
		c.addConfigured(z, zone.Nameservers[0].Pos, zonePath(zone.Name)+".nameservers", c.soa(zone, changed))
	}
	for i := range zone.Nameservers {
		ns := &zone.Nameservers[i]
		path := zonePath(zone.Name) + ".nameservers." + strings.TrimSuffix(string(ns.Name), ".")
		c.addConfigured(z, ns.Pos, path, &dns.NS{Hdr: header(zone.Name, dns.TypeNS), Ns: string(ns.Name)})
		if !c.within(ns.Name.Wire(), z) {
			continue
		}
		for _, addr := range ns.Addresses {
			c.addConfigured(z, ns.Pos, path, address(ns.Name, addr))
		}
	}
}

func (c *compiler) addConfigured(z ZoneID, pos config.Pos, path string, rr dns.RR) {
	c.add(z, rr, place{origin: c.origin(c.cfg.ErrorAt(pos, path, "", ""))})
}

// soa makes a zone's SOA. The serial is the last change of the configuration or the zone's file, in seconds since
// 1970, so that nodes with the same files have the same serial. Without a file it is the current time.
func (c *compiler) soa(zone *config.Zone, changed time.Time) *dns.SOA {
	if c.changed.After(changed) {
		changed = c.changed
	}
	h := header(zone.Name, dns.TypeSOA)
	h.Ttl = max(defaultTTL, zone.NegativeTTL) // so that only negative_ttl limits the lifetime of negative answers
	return &dns.SOA{
		Hdr: h, Ns: string(zone.Nameservers[0].Name), Mbox: string(zone.Contact),
		Serial: uint32(changed.Unix()), Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: zone.NegativeTTL,
	}
}

func address(name dnsname.Name, addr netip.Addr) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: addr.AsSlice()}
}

func header(name dnsname.Name, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: string(name), Rrtype: typ, Class: dns.ClassINET, Ttl: defaultTTL}
}
