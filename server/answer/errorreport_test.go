package answer

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
)

// agentYAML is a server with the given agent, which a nested zone of its own and a delegation are near to.
func agentYAML(agent string) string {
	return `
server: {listen: ["127.0.0.1:0"], report_agent: ` + agent + `, udp_size: 512}
pools: {web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}}
zones:
  example.com: {file: example.com.zone, names: {www: {pool: web}}}
  inner.example.com: {nameservers: {ns.example.net: []}, contact: h@example.com}
`
}

const agentZone = "$TTL 60\n@ SOA ns.example.net. h 1 2 3 4 60\n@ NS ns.example.net.\ncut NS ns.example.net.\n*.w TXT wild\n"

// reportChannel returns the agent in an answer; empty: it has none.
func reportChannel(t *testing.T, m *dns.Msg) (agent string) {
	t.Helper()
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if r, ok := o.(*dns.EDNS0_REPORTING); ok {
				if agent != "" {
					t.Errorf("two agents: %v", m)
				}
				agent = r.AgentDomain
			}
		}
	}
	return agent
}

// TestAnswersCarryTheAgent has a case for each kind of answer, on both paths.
func TestAnswersCarryTheAgent(t *testing.T) {
	p := newPaths(answertest.Build(t, agentYAML("agent.example.com"), agentZone))
	const agent = "agent.example.com."
	for name, want := range map[string]string{
		"www.example.com.":              agent,
		"example.com.":                  agent,
		"nothing.example.com.":          agent,
		"a.cut.example.com.":            agent,
		"inner.example.com.":            agent,
		"example.org.":                  "",
		"agent.example.com.":            "",
		"_er.1.x.7._er." + agent:        "",
		strings.ToUpper("a." + agent):   "",
		"xagent.example.com.":           agent,
		"agent.example.com.example.com": agent,
	} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeANY} {
			query := answertest.Ask(dns.Fqdn(name), qtype)
			if plain := exchange(t, p, answertest.Packed(t, query), "192.0.2.9", true); plain.IsEdns0() != nil {
				t.Errorf("%s: OPT without one in the query", name)
			}
			if got := reportChannel(t, exchange(t, p, answertest.Packed(t, answertest.WithOptions(query)), "192.0.2.9", false)); got != want {
				t.Errorf("%s %s: agent %q, want %q", name, dns.Type(qtype), got, want)
			}
		}
	}
	without := newPaths(answertest.World(t))
	if got := reportChannel(t, exchange(t, without, answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA))), "192.0.2.9", false)); got != "" {
		t.Errorf("without report_agent, the answer has the agent %q", got)
	}
}

// TestAgentIsLeftOutIfItDoesNotFit raises the size of an answer octet by octet, until it is truncated.
func TestAgentIsLeftOutIfItDoesNotFit(t *testing.T) {
	zone, seen := agentZone, map[string]int{}
	const names = 110
	for n := range names {
		zone += fmt.Sprintf("t%03d TXT %s %s\n", n, strings.Repeat("x", 255), strings.Repeat("x", 100+n))
	}
	p := newPaths(answertest.Build(t, agentYAML("agent.example.com"), zone))
	for n := range names {
		m := exchange(t, p, answertest.Packed(t, answertest.WithOptions(answertest.Ask(fmt.Sprintf("t%03d.example.com.", n), dns.TypeTXT))), "192.0.2.9", false)
		state := fmt.Sprint(m.Truncated, reportChannel(t, m) != "")
		seen[state]++
	}
	if seen["false true"] == 0 || seen["false false"] != 4+len("agent.example.com.")+1 || seen["true true"] == 0 || seen["true false"] != 0 {
		t.Errorf("truncated, with agent: %v", seen)
	}
}

// TestReports has a case for each form of a report, and for names around them.
func TestReports(t *testing.T) {
	const agent = "_er.agent.example.com."
	for name, c := range map[string]struct {
		name  string
		rcode int
		texts int
		code  string // of the count; empty: no report
		zone  string
		want  ErrorReport
	}{
		"bogus":          {"_er.1.www.example.com.6." + agent, 0, 1, "6", "example.com.", ErrorReport{Name: "www.example.com.", Type: "A", Code: 6, Error: "DNSSEC Bogus"}},
		"inner":          {"_eR.28.A.inner.Example.com.7." + agent, 0, 1, "7", "inner.example.com.", ErrorReport{Name: "a.inner.example.com.", Type: "AAAA", Code: 7, Error: "Signature Expired"}},
		"of others":      {"_er.16.example.org.9." + agent, 0, 1, "9", "other", ErrorReport{Name: "example.org.", Type: "TXT", Code: 9, Error: "DNSKEY Missing"}},
		"root":           {"_er.2.22." + agent, 0, 1, "22", "other", ErrorReport{Name: ".", Type: "NS", Code: 22, Error: "No Reachable Authority"}},
		"types":          {"_er.1-28.www.example.com.6." + agent, 0, 1, "6", "example.com.", ErrorReport{Name: "www.example.com.", Type: "A AAAA", Code: 6, Error: "DNSSEC Bogus"}},
		"unassigned":     {"_er.1.www.example.com.65535." + agent, 0, 1, "other", "example.com.", ErrorReport{Name: "www.example.com.", Type: "A", Code: 65535}},
		"too many types": {"_er.1-2-3-4-5.x.6." + agent, 0, 1, "invalid", "other", ErrorReport{}},
		"no number":      {"_er.a.x.6." + agent, 0, 1, "invalid", "other", ErrorReport{}},
		"large code":     {"_er.1.x.65536." + agent, 0, 1, "invalid", "other", ErrorReport{}},
		"no code":        {"_er.1." + agent, 0, 1, "invalid", "other", ErrorReport{}},
		"only _er":       {"_er." + agent, 0, 1, "invalid", "other", ErrorReport{}},
		"minimized":      {"6." + agent, 0, 1, "invalid", "other", ErrorReport{}},
		"above":          {agent, 0, 0, "", "", ErrorReport{}},
		"agent":          {"agent.example.com.", 0, 0, "", "", ErrorReport{}},
		"beside":         {"x.agent.example.com.", dns.RcodeNameError, 0, "", "", ErrorReport{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPaths(answertest.Build(t, agentYAML("agent.example.com"), agentZone))
			p.time = time.Unix(1000, 0)
			m := exchange(t, p, answertest.Packed(t, answertest.Ask(c.name, dns.TypeTXT)), "192.0.2.9", true)
			if m.Rcode != c.rcode || len(m.Answer) != c.texts || !m.Authoritative || m.Truncated {
				t.Fatalf("%v", m)
			}
			latest, counts := p.wire.engine.ErrorReports(), p.wire.engine.ErrorReportCounts()
			want := map[ReportCount]uint64{{c.zone, c.code}: 2} // both paths
			if c.code == "" {
				want = nil
			} else if m.Answer[0].Header().Ttl != 3600 {
				t.Errorf("TTL of %v", m.Answer[0])
			}
			if !maps.Equal(counts, want) {
				t.Errorf("%v, want %v", counts, want)
			}
			if c.want.Name == "" {
				if len(latest) != 0 {
					t.Errorf("%v", latest)
				}
				return
			}
			if c.zone != "other" {
				c.want.Zone = c.zone
			}
			c.want.Resolver, c.want.Reports, c.want.First, c.want.Last = "192.0.2.9", 2, p.time, p.time
			if len(latest) != 1 || latest[0] != c.want {
				t.Errorf("%+v, want %+v", latest, c.want)
			}
		})
	}
}

// TestReportOverUDPNeedsCookie checks that a forged source causes no report (RFC 9567 6.3).
func TestReportOverUDPNeedsCookie(t *testing.T) {
	const report = "_er.1.www.example.com.6._er.agent.example.com."
	p := newPaths(answertest.Build(t, agentYAML("agent.example.com"), agentZone))
	for name, query := range map[string]*dns.Msg{
		"plain":      answertest.Ask(report, dns.TypeTXT),
		"EDNS":       answertest.WithOptions(answertest.Ask(report, dns.TypeTXT)),
		"new cookie": withCookie(report, dns.TypeTXT, []byte("12345678")),
	} {
		m := exchange(t, p, answertest.Packed(t, query), cookieClient, false)
		if counts := p.wire.engine.ErrorReportCounts(); !m.Truncated || len(m.Answer) != 0 || len(counts) != 0 {
			t.Errorf("%s: %v, counts %v", name, m, counts)
		}
	}
	m := exchange(t, p, answertest.Packed(t, withCookie(report, dns.TypeTXT, learnCookie(t, p, cookieClient))), cookieClient, false)
	if counts := p.wire.engine.ErrorReportCounts(); m.Truncated || len(m.Answer) != 1 || len(counts) != 1 {
		t.Errorf("with a valid cookie: %v, counts %v", m, counts)
	}
	if m := exchange(t, p, answertest.Packed(t, answertest.Ask(report, dns.TypeA)), cookieClient, false); m.Truncated || m.Rcode != 0 || len(m.Answer) != 0 {
		t.Errorf("another type: %v", m)
	}
}

// TestReportsAreBounded sends more reports than there is room for: in a ring, among the latest, and of counts.
func TestReportsAreBounded(t *testing.T) {
	var cfg strings.Builder
	cfg.WriteString("server: {listen: [\"127.0.0.1:0\"], report_agent: agent.example.com}\nzones:\n  example.com: {file: example.com.zone}\n")
	const zoneCount = maxReportCounts
	for i := range zoneCount {
		fmt.Fprintf(&cfg, "  z%d.example.com: {nameservers: {ns.example.net: []}, contact: h@example.com}\n", i)
	}
	p := newPaths(answertest.Build(t, cfg.String(), agentZone))
	from, e := netip.MustParseAddr("192.0.2.9"), p.wire.engine
	send := func(zone, code int) {
		report := fmt.Sprintf("_er.1.z%d.example.com.%d._er.agent.example.com.", zone, code)
		p.wire.Respond(nil, answertest.Packed(t, answertest.Ask(report, dns.TypeTXT)), from, true)
	}
	for i := range reportRecords + 3 {
		send(i, 6)
	}
	if latest := e.ErrorReports(); len(latest) != maxErrorReports || e.Counters().ReportLost != 3 {
		t.Errorf("%d kept, %d lost", len(latest), e.Counters().ReportLost)
	}
	for i := range zoneCount {
		send(i, 7)
		e.ErrorReports()
	}
	latest, counts := e.ErrorReports(), e.ErrorReportCounts()
	if other := counts[ReportCount{otherReports, "7"}]; len(counts) != maxReportCounts+1 || other != reportRecords || len(latest) != maxErrorReports {
		t.Errorf("%d counts, %d without zone, %d kept", len(counts), other, len(latest))
	}
	if last := latest[len(latest)-1]; last.Name != fmt.Sprintf("z%d.example.com.", zoneCount-1) {
		t.Errorf("the last one is %v", last)
	}
}

// TestForeignReportsLeaveRoomForOurs sends many reports with names in no zone of ours and some malformed ones around one
// about our zone, in each order: it is kept.
func TestForeignReportsLeaveRoomForOurs(t *testing.T) {
	for _, position := range []int{0, 20, 40} {
		p := newPaths(answertest.Build(t, agentYAML("agent.example.com"), agentZone))
		from, e := netip.MustParseAddr("192.0.2.9"), p.wire.engine
		send := func(name string) {
			p.wire.Respond(nil, answertest.Packed(t, answertest.Ask(name+"._er.agent.example.com.", dns.TypeTXT)), from, true)
		}
		for round := range 5 {
			for i := range 41 {
				if i == position && round == 0 {
					send("_er.1.www.example.com.6")
				}
				send(fmt.Sprintf("_er.1.x%d-%d.example.org.6", round, i))
				send(fmt.Sprintf("x%d", i))
			}
			e.ErrorReports()
		}
		latest := e.ErrorReports()
		foreign := slices.DeleteFunc(slices.Clone(latest), func(r ErrorReport) bool { return r.Zone != "" })
		ours := slices.IndexFunc(latest, func(r ErrorReport) bool { return r.Name == "www.example.com." && r.Reports == 1 })
		if ours < 0 || len(foreign) == 0 || len(foreign) > 8 {
			t.Errorf("position %d: kept %v", position, latest)
		}
		if n := e.Counters().ReportLost; n == 0 {
			t.Errorf("position %d: the reports without room are not counted", position)
		}
	}
}

// TestAgentOfAnotherServer checks agents that are in none of our zones, or below a delegation: they are in answers, and
// receive nothing here.
func TestAgentOfAnotherServer(t *testing.T) {
	for _, agent := range []string{"agent.example.net", "agent.cut.example.com"} {
		p := newPaths(answertest.Build(t, agentYAML(agent), agentZone))
		if got := reportChannel(t, exchange(t, p, answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA))), "192.0.2.9", false)); got != agent+"." {
			t.Errorf("agent %q, want %q", got, agent)
		}
		m := exchange(t, p, answertest.Packed(t, answertest.Ask("_er.1.x.6._er."+agent+".", dns.TypeTXT)), "192.0.2.9", true)
		if counts := p.wire.engine.ErrorReportCounts(); len(m.Answer) != 0 || len(counts) != 0 {
			t.Errorf("%s: %v, %v", agent, m, counts)
		}
	}
}

// TestAgentAllocatesNothing covers answers with the agent, and reports.
func TestAgentAllocatesNothing(t *testing.T) {
	r := newPaths(answertest.Build(t, agentYAML("agent.example.com"), agentZone)).wire
	out, from := make([]byte, 0, 4096), netip.MustParseAddr("192.0.2.9")
	for _, query := range []*dns.Msg{answertest.Ask("www.example.com.", dns.TypeA), answertest.Ask("_er.1.x.6._er.agent.example.com.", dns.TypeTXT)} {
		packet := answertest.Packed(t, answertest.WithOptions(query))
		for _, stream := range []bool{false, true} {
			if n := testing.AllocsPerRun(100, func() { out = r.Respond(out[:0], packet, from, stream) }); n != 0 {
				t.Errorf("%s: %v allocations", query.Question[0].Name, n)
			}
		}
	}
}

// FuzzReport reads names of reports, and compares them with the names made from what was read.
func FuzzReport(f *testing.F) {
	for _, name := range []string{"_er.1.www.example.com.6._er.agent.", "_er._er.agent.", "agent.", "_er.1-28.x.6._er.agent.", "_er.1.6._er.agent."} {
		f.Add([]byte(dnsname.Name(name).Wire()))
	}
	f.Add([]byte("\x01x\xC5\x00")) // a pointer, which ends in the octet of the root
	a := &agent{name: dnsname.Name("agent.").Wire()}
	f.Fuzz(func(t *testing.T, octets []byte) {
		end, ok := skipName(octets, 0)
		if !ok || endsInPointer(octets) {
			return
		}
		name := dnsname.Wire(octets[:end]).Folded()
		if _, below := ancestorOf(name, reportsOf(a)); !below {
			return
		}
		report, reported, ok := a.parse(name)
		if !ok {
			return
		}
		first, _, _ := strings.Cut(report.Type, " ")
		again := fmt.Sprintf("_er.%s.%s%d.%s", name.String()[4:4+strings.IndexByte(name.String()[4:], '.')], strings.TrimPrefix(report.Name, "."), report.Code, reportsOf(a))
		if got := strings.TrimSuffix(name.String(), "."); first == "" || report.Name != reported.String() || !strings.Contains(got, ".0") && got+"." != again {
			t.Errorf("%q: %+v, which has the name %q", name, report, again)
		}
	})
}

// endsInPointer reports whether a name ends in a pointer instead of the root.
func endsInPointer(name []byte) bool {
	at := 0
	for name[at] != 0 && name[at] < 0xC0 {
		at += 1 + int(name[at])
	}
	return name[at] != 0
}

// reportsOf returns the name above all reports.
func reportsOf(a *agent) dnsname.Wire { return append(dnsname.Wire("\x03_er"), a.name...) }
