package zones

import (
	"fmt"

	"github.com/miekg/dns"

	"meridian/config"
)

// Service is the HTTPS record of a balanced name, rendered up to its address hints. The zero value means no record.
type Service struct {
	off, length uint32 // in Data.data
	Hintless    bool   // the record has no address hints
}

// Exists reports whether there is such a record.
func (v Service) Exists() bool { return v.length > 0 }

// Service returns the data of an HTTPS record up to its hints: priority, target, and the parameters with keys below
// ipv4hint, in order (RFC 9460 2.2). Do not change it.
func (s *Data) Service(v Service) []byte {
	end := v.off + v.length
	return s.data[v.off:end:end]
}

// service renders the HTTPS record of a name. Equal records share one copy.
func (c *compiler) service(b *config.BalancedName) Service {
	if b.HTTPS == nil {
		return Service{}
	}
	rdata, err := c.pack(httpsRecord(b.HTTPS))
	if err != nil {
		panic("zones: an HTTPS record that does not pack: " + err.Error()) // config accepts only valid ones
	}
	v, ok := c.services[string(rdata)]
	if !ok {
		v = Service{off: uint32(len(c.s.data)), length: uint32(len(rdata))}
		c.s.data = append(c.s.data, rdata...)
		c.services[string(rdata)] = v
	}
	v.Hintless = !b.HTTPS.Hints
	return v
}

func httpsRecord(h *config.Service) *dns.HTTPS {
	rr := &dns.HTTPS{SVCB: dns.SVCB{
		Hdr:      dns.RR_Header{Name: ".", Rrtype: dns.TypeHTTPS, Class: dns.ClassINET},
		Priority: uint16(h.Priority), Target: string(h.Target),
	}}
	rr.Value = append(rr.Value, &dns.SVCBAlpn{Alpn: h.ALPN})
	if h.NoDefaultALPN {
		rr.Value = append(rr.Value, &dns.SVCBNoDefaultAlpn{})
	}
	if h.Port != 0 {
		rr.Value = append(rr.Value, &dns.SVCBPort{Port: uint16(h.Port)})
	}
	return rr
}

// checkServices checks every HTTPS record of the configuration.
func (c *compiler) checkServices() {
	for i := range c.cfg.Zones {
		names := c.cfg.Zones[i].Names
		for j := range names {
			if names[j].HTTPS != nil {
				c.checkService(ZoneID(i), &names[j])
			}
		}
	}
}

// checkService checks the HTTPS record of a balanced name: it has no other HTTPS record, and its hints are addresses
// of its target.
func (c *compiler) checkService(z ZoneID, b *config.BalancedName) {
	id := c.s.find(b.Name.Wire())
	if id == 0 || c.s.nodes[id].zone != z || !c.s.nodes[id].flags.has(isBalanced) {
		return // reported elsewhere
	}
	if _, at, ok := c.setOf(id, dns.TypeHTTPS); ok {
		c.errorf(at, "remove one of the two", "HTTPS of %s, which has https in the configuration", c.quoted(id))
	}
	if b.HTTPS.Target == "." {
		return
	}
	pool := c.s.bindings[c.s.nodes[id].extra].Pool
	found := c.s.Lookup(b.HTTPS.Target.Wire(), dns.TypeHTTPS)
	var target Binding
	if n := &c.s.nodes[found.Node]; n.flags.has(isBalanced) {
		target = c.s.bindings[n.extra]
		if target.Pool == pool && target.Views == 0 && target.AAAA == 0 {
			return
		}
	}
	zone := &c.cfg.Zones[z]
	path := zone.Path() + ".names." + relative(b.Name, zone.Name) + ".https.target"
	what := fmt.Sprintf("%q is not bound to pool %q", b.HTTPS.Target, b.Pool)
	switch {
	case target.Views != 0:
		what += " for all clients"
	case target.AAAA != 0:
		what += " for A and AAAA"
	}
	c.errs = append(c.errs, c.cfg.ErrorAt(b.HTTPS.Pos, path, what, `write ".", or a name bound to the same pool: the hints are addresses of that pool`))
}
