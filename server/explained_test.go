package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/pools"
	"meridian/zones"
)

// With its draw, an explanation is what the wire path serves: names, data, TTL,
// scope and response code, under every policy, whatever is down or forced.
func TestExplanationsAreWhatIsServedByTheirDraw(t *testing.T) {
	worlds, questions := 24, 150
	if testing.Short() {
		worlds = 10
	}
	for range worlds {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			m := maker{rand.New(rand.NewPCG(seed, 0))}
			snapshot := build(t, m.steered(), "")
			s := New(snapshot, Options{})
			for i := range questions {
				if i%50 == 0 {
					m.turnVerdicts(snapshot)
					m.override(snapshot)
					m.report(snapshot)
				}
				m.compareExplained(t, s, snapshot)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// compareExplained asks a random question on the wire, and for its explanation.
func (m maker) compareExplained(t *testing.T, s *Server, snapshot *zones.Snapshot) {
	t.Helper()
	draw, resolver := m.Uint64(), m.source()
	client, err := m.source().Prefix(pick(m, 8, 20, 24, 32))
	if err != nil {
		t.Fatal(err)
	}
	asked := Asked{
		Name: config.Name(fmt.Sprintf("p%d.example.com.", m.IntN(steeredPools))), Client: client, Resolver: resolver, Draw: &draw,
		Type: pick(m, dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT),
	}
	family, octets := byte(familyIPv4), client.Addr().AsSlice()
	if client.Addr().Is6() {
		family = familyIPv6
	}
	data := append([]byte{0, family, byte(client.Bits()), 0}, octets[:(client.Bits()+7)/8]...)
	query := packed(t, withOptions(ask(string(asked.Name), asked.Type), rawOption(dns.EDNS0SUBNET, data...)))

	r := newResponder(s, func() uint64 { return draw })
	r.open()
	r.at.scratch.TurnBy(draw)
	var served dns.Msg
	if err := served.Unpack(r.respond(nil, query, resolver, true)); err != nil {
		t.Fatal(err)
	}
	r.close()
	again, err := AskedText{Name: string(asked.Name), Draw: Explain(snapshot, asked).Draw}.Parse()
	if err != nil || *again.Draw != draw {
		t.Fatalf("a draw of %d, told and read again: %v %v", draw, again.Draw, err)
	}
	e := Explain(snapshot, asked)
	subnet := served.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
	got := fmt.Sprintf("%s scope %d\n%s", e.Rcode, e.Scope, sortedLines(e.Answers))
	want := fmt.Sprintf("%s scope %d\n%s", dns.RcodeToString[served.Rcode], subnet.SourceScope, sortedLines(explained(served.Answer)))
	if got != want {
		t.Errorf("%s %d for %s by %s, draw %d\nexplained %s\nserved %s", asked.Name, asked.Type, client, resolver, draw, got, want)
	}
}

// sortedLines are records in an order of their own: that of an answer has no meaning.
func sortedLines(records []ExplainedRecord) string {
	var lines []string
	for _, r := range records {
		lines = append(lines, fmt.Sprintf("%s %d %s %s\n", r.Name, r.TTL, r.Type, r.Data))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// steeredPools is how many pools, each with a name, a steered world has.
const steeredPools = 8

// steered makes a configuration with pools of all policies, those after the third
// with pools in them.
func (m maker) steered() string {
	var b strings.Builder
	b.WriteString("geo:\n  networks:\n    11.0.0.0/8: {country: DE}\n    12.0.0.0/9: {country: FR}\n    2001:db8:1::/48: {country: JP}\n    2001:db8:2::/48: {region: r1}\n    13.64.0.0/10: {region: r2}\n")
	b.WriteString("regions:\n")
	for i := range 3 {
		fmt.Fprintf(&b, "  r%d: {location: [%d, %d], bias: %d}\n", i, m.IntN(160)-80, m.IntN(340)-170, m.IntN(100)-50)
	}
	b.WriteString("checks:\n  c: {type: tcp, port: 1}\nloads:\n  l: {type: nginx, port: 1, path: /}\npools:\n")
	for i := range steeredPools {
		m.steeredPool(&b, i)
	}
	b.WriteString("zones:\n  example.com:\n    nameservers: {ns1.example.net: []}\n    contact: h@example.com\n    names:\n")
	for i := range steeredPools {
		fmt.Fprintf(&b, "      p%d: {pool: q%[1]d, ttl: %d%s}\n", i, m.IntN(1000), m.https())
	}
	return b.String()
}

func (m maker) steeredPool(b *strings.Builder, n int) {
	policy := pick(m, "proximity", "geolocation", "weighted", "round-robin", "failover", "hash", "latency", "least-load", "fastest", "all")
	fmt.Fprintf(b, "  q%d:\n    policy: %s\n    check: c\n    answers: %d\n    fail_open: %v\n    min_up: %s\n",
		n, policy, m.IntN(4), m.IntN(2) == 0, pick(m, "1", "2", "60%"))
	ranks := policy == "proximity" || policy == "latency"
	switch {
	case policy == "weighted" && m.IntN(2) == 0:
		b.WriteString("    sticky: true\n")
	case policy == "failover" && m.IntN(2) == 0:
		b.WriteString("    trickle: 30%\n")
	case policy == "geolocation":
		fmt.Fprintf(b, "    on_down: %s\n    default: nodata\n", pick(m, "widen", "fence"))
	}
	if !ranks && policy != "geolocation" && m.IntN(4) == 0 {
		b.WriteString("    spread: region\n")
	}
	if n > 0 && m.IntN(3) == 0 {
		fmt.Fprintf(b, "    fallback: q%d\n", m.IntN(n))
	}
	b.WriteString("    members:\n")
	for i := range 2 + m.IntN(4) {
		of := fmt.Sprintf("name: m%d, weight: %d, enabled: %v", i, m.IntN(4), m.IntN(6) > 0)
		if ranks || m.IntN(2) == 0 {
			of += fmt.Sprintf(", region: r%d", m.IntN(3))
		}
		if policy == "geolocation" {
			of += ", match: " + []string{"{country: DE}", "{network: 12.0.0.0/8}", "{continent: EU}", "{continent: AS}", "{network: 11.16.0.0/12}"}[i]
		}
		switch {
		case n >= 4 && m.IntN(2) == 0:
			of += fmt.Sprintf(", pool: q%d", m.IntN(4))
		case n >= 2 && m.IntN(6) == 0:
			of += ", cname: www.example.org."
		default:
			v4, v6 := fmt.Sprintf("192.0.2.%d", 10*n+i+1), fmt.Sprintf(`"2001:db8::%d"`, 10*n+i+1)
			of += fmt.Sprintf(", addresses: [%s], load: l, capacity: 100", pick(m, v4, v6, v4+", "+v6, v4+", 198.51.100.1"))
		}
		fmt.Fprintf(b, "      - {%s}\n", of)
	}
}

// override says something of a few members.
func (m maker) override(snapshot *zones.Snapshot) {
	var all []pools.Override
	for range m.IntN(4) {
		p := snapshot.Config.Pools[m.IntN(len(snapshot.Config.Pools))]
		o := pools.Override{Pool: p.Name, Kind: pick(m, pools.Drained, pools.ForcedUp, pools.ForcedDown)}
		if m.IntN(3) > 0 {
			o.Member = p.Members[m.IntN(len(p.Members))].Name
		}
		all = append(all, o)
	}
	snapshot.Pools.SetOverrides(all)
}

// report has half of the servers report a load.
func (m maker) report(snapshot *zones.Snapshot) {
	loads := make([]pools.Load, len(snapshot.Pools.LoadTargets()))
	for i := range loads {
		loads[i] = pools.Load{Load: float64(m.IntN(120)), At: time.Unix(m.Int64N(1000), 0), Fresh: m.IntN(2) == 0}
	}
	snapshot.Pools.SetLoads(loads)
}
