package answer

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/zones"
)

// agent is the agent that resolvers report errors to (RFC 9567). It is immutable.
type agent struct {
	name   dnsname.Wire // in lower case
	option []byte       // with its head, as answers carry it
	node   zones.NodeID // that answers the reports; 0: another server receives them
}

// newAgent returns the agent of a configuration; nil: there is none.
func newAgent(cfg *config.Server, data *zones.Data) *agent {
	if cfg.ReportAgent == "" {
		return nil
	}
	a := &agent{name: cfg.ReportAgent.Wire(), node: data.Reports(cfg.ReportAgent)}
	a.option = append([]byte{0, optionReportChannel, 0, byte(len(a.name))}, a.name...)
	return a
}

// concerns reports whether answers for a name carry the agent. Those for names of the agent itself do not: an error with a
// report would cause another report (RFC 9567 8.2).
func (a *agent) concerns(name dnsname.Wire) bool {
	_, below := ancestorOf(name, a.name)
	return !below
}

// isReport reports whether a question is a report to the agent, or has the form of one.
func (a *agent) isReport(match zones.Match, qtype uint16) bool {
	return a != nil && a.node != 0 && match.Node == a.node && match.Kind == zones.Wildcard && qtype == dns.TypeTXT
}

// takeReport takes the query as a report of an error. It returns false if the query must come again over TCP: without a
// valid cookie, the source of a UDP packet may be forged (RFC 9567 6.3).
func (r *Responder) takeReport(source netip.Addr) bool {
	if r.facts.transport == UDP && !r.query.edns.proved {
		return false
	}
	if r.reports != nil && r.postponed == nil && !r.reports.put(r.at.active.agent, r.query.name, source, r.engine.clock()) {
		r.counts.add(uint32(reportsLost))
	}
	return true
}

// maxReportedTypes is the largest number of types of a report: a query has one, those of several queries may be in one
// report.
const maxReportedTypes = 4

// parse reads the name of a report in lower case, _er.TYPE.NAME.CODE._er.AGENT, with further types after hyphens (RFC 9567
// 6.1.1).
func (a *agent) parse(name dnsname.Wire) (report ErrorReport, reported dnsname.Wire, ok bool) {
	const er = "\x03_er"
	end := len(name) - len(a.name) - len(er)
	if end <= 0 || !bytes.HasPrefix(name, []byte(er)) {
		return report, nil, false
	}
	var starts []int // of the labels between the two "_er"
	for at := len(er); at < end; at += 1 + int(name[at]) {
		starts = append(starts, at)
	}
	if len(starts) < 2 {
		return report, nil, false
	}
	last := starts[len(starts)-1]
	code, err := strconv.ParseUint(string(name[last+1:end]), 10, 16)
	types, known := reportedTypes(string(name[len(er)+1 : starts[1]]))
	if err != nil || !known {
		return report, nil, false
	}
	reported = append(bytes.Clone(name[starts[1]:last]), 0)
	report = ErrorReport{Name: reported.String(), Type: types, Code: uint16(code), Error: dns.ExtendedErrorCodeToString[uint16(code)]}
	return report, reported, true
}

// reportedTypes returns the names of types from their numbers.
func reportedTypes(label string) (names string, ok bool) {
	var all []string
	for number := range strings.SplitSeq(label, "-") {
		t, err := strconv.ParseUint(number, 10, 16)
		if err != nil || len(all) == maxReportedTypes {
			return "", false
		}
		all = append(all, dns.Type(t).String())
	}
	return strings.Join(all, " "), true
}
