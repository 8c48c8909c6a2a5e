package zones

import (
	"github.com/miekg/dns"

	"meridian/dnsname"
)

// reportTTL is how long a resolver keeps the answer to an error report, in seconds, and does not send the same report
// again (RFC 9567 6.3).
const reportTTL = 3600

// reportsName returns the wildcard for the names of reports to an agent: they are TYPE.NAME.CODE below it, and "_er" again
// (RFC 9567 6.1.1).
func reportsName(agent dnsname.Name) dnsname.Wire {
	return append(dnsname.Wire("\x01*\x03_er"), agent.Wire()...)
}

// addReportAgent adds the record that answers the reports to server.report_agent, if zone z is the one that holds the
// agent. A zone with signatures in its file, or with primaries, must have the record itself.
func (c *compiler) addReportAgent(z ZoneID) {
	agent := c.cfg.Server.ReportAgent
	if agent == "" || c.s.nodes[c.s.closest(agent.Wire())].zone != z || !c.within(agent.Wire(), z) {
		return
	}
	owner, at := reportsName(agent), c.cfg.Server.ReportAgentPos
	if c.s.Presigned(z) == nil {
		h := dns.RR_Header{Name: owner.String(), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: reportTTL}
		c.addConfigured(z, at, reportAgentPath, &dns.TXT{Hdr: h, Txt: []string{"report received"}})
		return
	}
	if c.s.find(owner) == 0 {
		c.AddWarnings(c.cfg.ErrorAt(at, reportAgentPath, "reports of resolvers get no answer: zone "+string(c.cfg.Zones[z].Name)+" has signatures in its file, and no TXT record at "+owner.String(),
			"add the record where the zone is signed"))
	}
}

// reportAgentPath is the path of the agent in the configuration.
const reportAgentPath = "server.report_agent"

// closest returns the node of a name, or the closest one above it; 0: there is none.
func (s *Data) closest(name dnsname.Wire) NodeID {
	if id := s.find(name); id != 0 {
		return id
	}
	return s.encloser(name)
}

// Reports returns the node that answers the reports of errors to an agent; 0: none of our zones does.
func (s *Data) Reports(agent dnsname.Name) NodeID {
	if agent == "" {
		return 0
	}
	id := s.find(reportsName(agent))
	if id == 0 || s.node(id).cover != 0 {
		return 0
	}
	if _, ok := s.RRset(id, dns.TypeTXT); !ok {
		return 0
	}
	return id
}
