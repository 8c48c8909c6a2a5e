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
	if r.reports != nil && r.postponed == nil && !r.putReport(source) {
		r.counts.add(uint32(reportsLost))
	}
	return true
}

// putReport passes the query to the reader of reports. It returns false if there is no room. A report with a name in no zone
// of ours has less of it: anyone can send many of these.
func (r *Responder) putReport(source netip.Addr) bool {
	a, room := r.at.active.agent, uint64(foreignRecords)
	if _, reported, _, ok := a.split(r.query.name); ok {
		var buf [dnsname.MaxSize]byte
		name := append(append(buf[:0], reported...), 0)
		if r.at.active.zones.Lookup(name, dns.TypeSOA).Kind != zones.Refused {
			room = reportRecords
		}
	}
	return r.reports.put(a, r.query.name, source, r.engine.clock(), room)
}

// split returns the parts of the name of a report: the label of the types, the reported name without the root, and the label
// of the code. ok is false if the name is not that of a report.
func (a *agent) split(name dnsname.Wire) (types, reported, code []byte, ok bool) {
	const er = "\x03_er"
	end := len(name) - len(a.name) - len(er)
	if end <= len(er) || !bytes.HasPrefix(name, []byte(er)) {
		return nil, nil, nil, false
	}
	begin, last := len(er)+1+int(name[len(er)]), 0
	for at := begin; at < end; at += 1 + int(name[at]) {
		last = at
	}
	if last == 0 {
		return nil, nil, nil, false
	}
	return name[len(er)+1 : begin], name[begin:last], name[last+1 : end], true
}

// maxReportedTypes is the largest number of types of a report: a query has one, those of several queries may be in one
// report.
const maxReportedTypes = 4

// parse reads the name of a report in lower case, _er.TYPE.NAME.CODE._er.AGENT, with further types after hyphens (RFC 9567
// 6.1.1).
func (a *agent) parse(name dnsname.Wire) (report ErrorReport, reported dnsname.Wire, ok bool) {
	typesLabel, above, codeLabel, ok := a.split(name)
	if !ok {
		return report, nil, false
	}
	code, err := strconv.ParseUint(string(codeLabel), 10, 16)
	types, known := reportedTypes(string(typesLabel))
	if err != nil || !known {
		return report, nil, false
	}
	reported = append(bytes.Clone(above), 0)
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
