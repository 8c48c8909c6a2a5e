package answer

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
)

// TestExtendedErrors has a case for each extended error, and for answers without one. Without OPT in the query there is
// none (RFC 8914 3).
func TestExtendedErrors(t *testing.T) {
	p := newPaths(answertest.Build(t, `
server: {listen: ["127.0.0.1:0"]}
pools: {web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}
  inside.example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, allow: [10.0.0.0/8], names: {www: {pool: web}}}
`, ""))
	query := func(name string, qtype, class uint16, opcode int) *dns.Msg {
		m := answertest.Ask(name, qtype)
		m.Question[0].Qclass, m.Opcode = class, opcode
		return m
	}
	for name, c := range map[string]struct {
		query *dns.Msg
		want  int
	}{
		"answered":          {query("www.example.com.", dns.TypeA, dns.ClassINET, dns.OpcodeQuery), -1},
		"no such name":      {query("nothing.example.com.", dns.TypeA, dns.ClassINET, dns.OpcodeQuery), -1},
		"outside all zones": {query("example.org.", dns.TypeA, dns.ClassINET, dns.OpcodeQuery), 20},
		"outside, ANY":      {query("example.org.", dns.TypeANY, dns.ClassINET, dns.OpcodeQuery), 20},
		"denied":            {query("www.inside.example.com.", dns.TypeA, dns.ClassINET, dns.OpcodeQuery), 18},
		"denied, ANY":       {query("www.inside.example.com.", dns.TypeANY, dns.ClassINET, dns.OpcodeQuery), 18},
		"transfer":          {query("example.com.", dns.TypeAXFR, dns.ClassINET, dns.OpcodeQuery), 18},
		"class HS":          {query("www.example.com.", dns.TypeA, dns.ClassHESIOD, dns.OpcodeQuery), 21},
		"class CH":          {query("version.bind.", dns.TypeTXT, dns.ClassCHAOS, dns.OpcodeQuery), 20},
		"opcode":            {query("example.com.", dns.TypeSOA, dns.ClassINET, dns.OpcodeStatus), 21},
		"MAILB":             {query("www.example.com.", dns.TypeMAILB, dns.ClassINET, dns.OpcodeQuery), 21},
		"NXNAME":            {query("www.example.com.", 128, dns.ClassINET, dns.OpcodeQuery), 30},
	} {
		t.Run(name, func(t *testing.T) {
			if plain := exchange(t, p, answertest.Packed(t, c.query), "192.0.2.9", false); plain.IsEdns0() != nil {
				t.Errorf("OPT without one in the query: %v", plain)
			}
			answer := exchange(t, p, answertest.Packed(t, answertest.WithOptions(c.query)), "192.0.2.9", false)
			got := -1
			for _, option := range answer.IsEdns0().Option {
				if ede, ok := option.(*dns.EDNS0_EDE); ok {
					got = int(ede.InfoCode)
				}
			}
			if got != c.want {
				t.Errorf("extended error %d, want %d: %v", got, c.want, answer)
			}
		})
	}
	if n := p.wire.engine.Counters().Prohibited; n != 2*4 {
		t.Errorf("%d queries counted as prohibited, want 8", n)
	}
}

// TestSubnetOfOtherResolversIsIgnored asks with the same client subnet from a resolver of ecs_from, and from another.
func TestSubnetOfOtherResolversIsIgnored(t *testing.T) {
	p := newPaths(answertest.World(t, "nsid: test", "nsid: test, ecs_from: [203.0.113.0/28]"))
	packet := answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 51, 100)))
	without := answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA)))
	if honoured := exchange(t, p, packet, "203.0.113.9", false); len(honoured.IsEdns0().Option) != 1 {
		t.Errorf("no client subnet in the answer to a resolver of ecs_from: %v", honoured)
	}
	for _, source := range []string{"203.0.113.16", "2001:db8::1"} {
		ignored, plain := exchange(t, p, packet, source, false), exchange(t, p, without, source, false)
		plain.Id = ignored.Id
		if ignored.String() != plain.String() {
			t.Errorf("from %s, with the ignored subnet\n%v\nand without any\n%v", source, ignored, plain)
		}
	}
	if c := p.wire.engine.Counters(); c.ECS != 3*2 || c.ECSIgnored != 2*2 {
		t.Errorf("%d subnets, %d ignored; want 6 and 4", c.ECS, c.ECSIgnored)
	}
}

// TestRestrictedZoneAllocatesNothing covers answers for sources that a zone allows and denies, and ignored subnets.
func TestRestrictedZoneAllocatesNothing(t *testing.T) {
	r := newPaths(answertest.Build(t, `
server: {listen: ["127.0.0.1:0"], ecs_from: [203.0.113.0/28]}
pools: {web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}}
zones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, allow: [10.0.0.0/8], deny: [10.1.0.0/16], names: {www: {pool: web}}}}
`, "")).wire
	query := answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 51, 100)))
	out := make([]byte, 0, 4096)
	for _, source := range []string{"10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1"} {
		from := netip.MustParseAddr(source)
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, from, false) }); n != 0 {
			t.Errorf("from %s: %v allocations a query", source, n)
		}
	}
}
