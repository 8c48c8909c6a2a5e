package zones

import (
	"encoding/binary"
	"fmt"
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
func (c *compiler) addApexRecords(z ZoneID) {
	zone := &c.cfg.Zones[z]
	if len(zone.Nameservers) == 0 {
		return
	}
	if zone.Contact != "" {
		c.addConfigured(z, zone.Nameservers[0].Pos, zone.Path()+".nameservers", c.soa(zone, c.changedAt[z]))
	}
	for i := range zone.Nameservers {
		ns := &zone.Nameservers[i]
		path := zone.Path() + ".nameservers." + strings.TrimSuffix(string(ns.Name), ".")
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
	h := header(zone.Name, dns.TypeSOA)
	h.Ttl = max(DefaultTTL, zone.NegativeTTL) // so that only negative_ttl limits the lifetime of negative answers
	return &dns.SOA{
		Hdr: h, Ns: string(zone.Nameservers[0].Name), Mbox: string(zone.Contact),
		Serial: uint32(changed.Unix()), Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: zone.NegativeTTL,
	}
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// setSerial replaces the serial of the file by the time of the last change, if the zone has serial: unixtime. Other policies
// need the serial before: see SetSerial. The SOA of a presigned zone is signed with its serial.
func (c *compiler) setSerial(z ZoneID) {
	zone := &c.cfg.Zones[z]
	set, at, _ := c.setOf(c.s.zones[z].apex, dns.TypeSOA)
	c.s.zones[z].changed, c.s.zones[z].madeSOA = c.changedAt[z].Unix(), c.configured(at)
	if zone.Serial == "" || zone.Serial == config.KeepSerial {
		return
	}
	path := zone.Path() + ".serial"
	if c.s.Presigned(z) != nil {
		c.errs = append(c.errs, c.cfg.ErrorAt(zone.SerialPos, path, "the SOA record of the file is signed with its serial", "write serial: keep, and raise the serial where the zone is signed"))
		return
	}
	if zone.Serial != config.UnixtimeSerial {
		return // that of the file is the least one
	}
	octets := c.s.data[set.off+set.length-20:] // the serial is the first of the five numbers that end the record
	before, serial := binary.BigEndian.Uint32(octets), uint32(c.changedAt[z].Unix())
	if int32(before-serial) > 0 {
		c.AddWarnings(c.cfg.ErrorAt(zone.SerialPos, path, fmt.Sprintf("the serial %d of the file is higher than that by time, %d: secondaries that have it keep their copy", before, serial),
			"have them take the zone again, once"))
	}
	binary.BigEndian.PutUint32(octets, serial)
}

func address(name dnsname.Name, addr netip.Addr) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: addr.AsSlice()}
}

func header(name dnsname.Name, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: string(name), Rrtype: typ, Class: dns.ClassINET, Ttl: DefaultTTL}
}
