package answer

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

const httpsConfig = `
pools:
  one: {policy: weighted, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}]}
  turns:
    policy: round-robin
    members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}, {name: b, addresses: [192.0.2.2, "2001:db8::2"]}]
  mixed: {policy: round-robin, members: [{name: a, addresses: [192.0.2.1]}, {name: b, cname: host.example.net}]}
  many: {policy: all, members: [MANY]}
zones:
  example.com:
    file: example.com.zone
    names:
      one: {pool: one, https: {alpn: [h2, h3], port: 8443}}
      turns: {pool: turns, https: {}}
      mixed: {pool: mixed, https: {}}
      many: {pool: many, https: {}}
`

// httpsWorld has a pool of 40 members of both families, and small ones.
func httpsWorld() string {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`{name: m%d, addresses: [192.0.2.%[1]d, "2001:db8::%[1]d"]}`, i+1))
	}
	return strings.Replace(httpsConfig, "MANY", strings.Join(many, ", "), 1)
}

func TestPoolHTTPSRecordAllocatesNothing(t *testing.T) {
	r := newEngine(answertest.Build(t, httpsWorld(), answertest.LoneZone), nil).Responder()
	out := make([]byte, 0, 1024)
	for _, name := range []string{"one", "turns", "mixed", "many"} {
		query := answertest.Packed(t, answertest.WithOptions(answertest.Ask(name+".example.com.", dns.TypeHTTPS)))
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
			t.Errorf("%s: %v allocations a query", name, n)
		}
	}
}

// Hints list some of many addresses, so that the record fits; both paths list the same ones.
func TestHTTPSHintsAreLimited(t *testing.T) {
	p := newPaths(answertest.Build(t, httpsWorld(), answertest.LoneZone))
	for draw := range uint64(20) {
		p.draw = draw
		p.compare(t, answertest.Packed(t, answertest.WithOptions(answertest.Ask("many.example.com.", dns.TypeHTTPS))), answertest.BenchSource, false)
	}
	var m dns.Msg
	answer := p.wire.Respond(nil, answertest.Packed(t, answertest.WithOptions(answertest.Ask("many.example.com.", dns.TypeHTTPS))), answertest.BenchSource, false)
	if err := m.Unpack(answer); err != nil || len(m.Answer) != 1 {
		t.Fatalf("%v, %s", err, &m)
	}
	for _, parameter := range m.Answer[0].(*dns.HTTPS).Value[1:] {
		if n := strings.Count(parameter.String(), ",") + 1; n != 16 {
			t.Errorf("%s has %d addresses", parameter.Key(), n)
		}
	}
}

// Without EDNS the limit is 512 octets: a longer answer is truncated, for a retry by TCP.
func TestLargeHTTPSRecordIsTruncated(t *testing.T) {
	p := newPaths(answertest.Build(t, httpsWorld(), answertest.LoneZone))
	query := answertest.Packed(t, answertest.Ask("many.example.com.", dns.TypeHTTPS))
	for _, stream := range []bool{false, true} {
		p.compare(t, query, answertest.BenchSource, stream)
	}
	if udp := p.wire.Respond(nil, query, answertest.BenchSource, false); udp[2]&flagTC != 0 {
		t.Errorf("%d octets, flags %x: 16 of each family fit in 512", len(udp), udp[2])
	}
	long := answertest.Packed(t, answertest.Ask(strings.Repeat("x", 60)+"."+strings.Repeat("y", 60)+"."+strings.Repeat("z", 60)+".wild.example.com.", dns.TypeHTTPS))
	p = newPaths(answertest.Build(t, strings.Replace(httpsWorld(), "      many:", "      \"*.wild\": {pool: many, https: {}}\n      many:", 1), answertest.LoneZone))
	p.compare(t, long, answertest.BenchSource, false)
	if udp := p.wire.Respond(nil, long, answertest.BenchSource, false); udp[2]&flagTC == 0 {
		t.Errorf("%d octets without TC", len(udp))
	}
}

// The dig line of docs/reference/https.md is the answer of its example to a client in us-east.
func TestHTTPSManualExampleIsAnswered(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/https.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile("(?s)```yaml\n(.*?)```\n\n    \\$ dig \\+short HTTPS (\\S+)\n    (.*?)\n").FindStringSubmatch(string(page))
	if parts == nil {
		t.Fatal("the page has no example followed by what dig prints")
	}
	want, err := dns.NewRR(parts[2] + ". HTTPS " + parts[3])
	if err != nil {
		t.Fatal(err)
	}
	place := "geo: {networks: {192.0.2.0/24: {region: us-east}}}\n"
	p := newPaths(answertest.Build(t, place+parts[1], ""))
	var m dns.Msg
	answer := p.wire.Respond(nil, answertest.Packed(t, answertest.Ask(parts[2]+".", dns.TypeHTTPS)), netip.MustParseAddr("192.0.2.9"), false)
	if err := m.Unpack(answer); err != nil || len(m.Answer) != 1 || !dns.IsDuplicate(want, m.Answer[0]) {
		t.Errorf("%v, got %s\nwant %s", err, &m, want)
	}
}

func TestHTTPSAnswerIsExplainedForBothFamilies(t *testing.T) {
	e := Trace(answertest.Build(t, httpsWorld(), answertest.LoneZone), ExplainQuery{Name: "one.example.com.", Type: dns.TypeHTTPS, Resolver: answertest.BenchSource})
	if len(e.Answers) != 1 || e.Answers[0].Data != `1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"` {
		t.Errorf("answers %+v", e.Answers)
	}
	if len(e.Steps) != 2 || e.Steps[0].Family != "IPv4" || e.Steps[1].Family != "IPv6" || !e.Steps[1].Chosen {
		t.Errorf("steps %+v", e.Steps)
	}
}
