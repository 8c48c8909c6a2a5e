package answer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
)

// whoamiZone has a name with whoami, and an alias to it.
func whoamiZone(ecs bool) string {
	return fmt.Sprintf("server: {ecs: %v}\nzones: {example.com: {file: example.com.zone, names: {who: {whoami: true}, \"*.who\": {whoami: true}}}}\n", ecs)
}

const whoamiRecords = "@ 300 SOA ns.example.net. host.example.net. 1 2 3 4 5\n@ 300 NS ns.example.net.\nalias 300 CNAME who\n"

// TestWhoamiOnBothPaths compares the answers of both paths with an obvious reference, for random sources and subnets.
func TestWhoamiOnBothPaths(t *testing.T) {
	rnd := generator{Rand: rand.New(rand.NewPCG(rand.Uint64(), 0))}
	for _, ecs := range []bool{true, false} {
		p := newPaths(answertest.Build(t, whoamiZone(ecs), whoamiRecords))
		for range 300 {
			source, subnet, qtype := rnd.source(), netip.Prefix{}, pick(rnd, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX)
			query := answertest.Ask(pick(rnd, "who.example.com.", "a.WHO.example.com.", "alias.example.com."), qtype)
			if rnd.IntN(2) == 0 {
				addr := rnd.source()
				subnet, _ = addr.Prefix(rnd.IntN(addr.BitLen() + 1))
				query = answertest.WithOptions(query, &dns.EDNS0_SUBNET{
					Code: dns.EDNS0SUBNET, Family: uint16(1 + addr.BitLen()/128), SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice(),
				})
			}
			packet := answertest.Packed(t, query)
			p.compare(t, packet, source, rnd.IntN(2) == 0)
			var answer dns.Msg
			if err := answer.Unpack(p.last); err != nil {
				t.Fatal(err)
			}
			used := ecs && subnet.Bits() > 0
			if got, want := whoamiData(&answer), wantWhoami(source, subnet, used, qtype); got != want {
				t.Errorf("%s from %s with subnet %s: %q, want %q", dns.Type(qtype), source, subnet, got, want)
			}
			checkWhoamiScope(t, &answer, used && qtype == dns.TypeTXT, subnet)
			if len(p.last) > 4*len(packet) {
				t.Errorf("an answer of %d octets to a query of %d\n%s", len(p.last), len(packet), &answer)
			}
		}
	}
}

// wantWhoami is the slow and obvious answer.
func wantWhoami(source netip.Addr, subnet netip.Prefix, used bool, qtype uint16) string {
	switch {
	case qtype == dns.TypeTXT && used:
		return fmt.Sprintf("resolver %s|subnet %s", source, subnet)
	case qtype == dns.TypeTXT:
		return "resolver " + source.String()
	case qtype == dns.TypeA && source.Is4(), qtype == dns.TypeAAAA && source.Is6():
		return source.String()
	}
	return ""
}

// whoamiData returns the data of the one record of an answer beside aliases; "": it has none.
func whoamiData(answer *dns.Msg) string {
	for _, rr := range answer.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			return rr.A.String()
		case *dns.AAAA:
			return rr.AAAA.String()
		case *dns.TXT:
			return strings.Join(rr.Txt, "|")
		}
	}
	return ""
}

// checkWhoamiScope checks that an answer with a subnet in it holds for that subnet only, and that no cache keeps it.
func checkWhoamiScope(t *testing.T, answer *dns.Msg, inside bool, subnet netip.Prefix) {
	t.Helper()
	var scope *dns.EDNS0_SUBNET
	if opt := answer.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if s, ok := o.(*dns.EDNS0_SUBNET); ok {
				scope = s
			}
		}
	}
	if inside && (scope == nil || int(scope.SourceScope) != subnet.Bits()) {
		t.Errorf("scope %v of an answer with subnet %s", scope, subnet)
	}
	for _, rr := range answer.Answer {
		if head := rr.Header(); head.Rrtype != dns.TypeCNAME && head.Ttl != 0 {
			t.Errorf("TTL of %s, want 0", rr)
		}
	}
}

func TestWhoamiAllocatesNothing(t *testing.T) {
	r := newEngine(answertest.Build(t, whoamiZone(true), whoamiRecords), nil).Responder()
	query, out := answertest.Packed(t, answertest.Ask("who.example.com.", dns.TypeTXT)), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}

func TestExplanationOfWhoami(t *testing.T) {
	s := answertest.Build(t, whoamiZone(true), whoamiRecords)
	asked := ExplainQuery{Name: dnsname.Name("who.example.com."), Type: dns.TypeTXT, Resolver: netip.MustParseAddr("192.0.2.9"), Client: netip.MustParsePrefix("198.51.100.0/24")}
	traced := Trace(s, asked)
	if len(traced.Answers) != 1 || traced.Answers[0].Data != `"resolver 192.0.2.9" "subnet 198.51.100.0/24"` || traced.Scope != 24 {
		t.Errorf("%v with scope %d, want both addresses and 24", traced.Answers, traced.Scope)
	}
	if !slices.ContainsFunc(traced.Notes, func(note string) bool { return strings.Contains(note, "whoami") }) {
		t.Errorf("notes %q, want one about whoami", traced.Notes)
	}
}
