package server

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var benchSource = netip.MustParseAddr("198.51.100.7")

// benchQueries returns one query for each outcome of the fast path.
func benchQueries(t testing.TB) map[string][]byte {
	subnet := rawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 203, 0, 113)
	return map[string][]byte{
		"Static":      packed(t, ask("mail.example.com.", dns.TypeA)),
		"Balanced":    packed(t, ask("www.example.com.", dns.TypeA)),
		"BalancedECS": packed(t, withOptions(ask("www.example.com.", dns.TypeA), subnet)),
		"Wildcard":    packed(t, withOptions(ask("a.b.t.example.com.", dns.TypeAAAA), subnet)),
		"NoData":      packed(t, ask("mail.example.com.", dns.TypeMX)),
		"NXDomain":    packed(t, ask("nothing.example.com.", dns.TypeA)),
		"Referral":    packed(t, ask("a.sub.example.com.", dns.TypeA)),
		"Alias":       packed(t, ask("alias.example.com.", dns.TypeA)),
		"Chain":       packed(t, ask("chain.example.com.", dns.TypeA)),
		"Loop":        packed(t, ask("loop.example.com.", dns.TypeA)),
		"Away":        packed(t, ask("away.example.com.", dns.TypeA)),
		"DName":       packed(t, ask("x.tree.example.com.", dns.TypeA)),
		"DNameOver":   packed(t, ask(strings.Repeat("l.", 40)+"over.example.com.", dns.TypeA)),
		"Refused":     packed(t, ask("www.example.org.", dns.TypeA)),
		"Truncated":   packed(t, ask("big.example.com.", dns.TypeTXT)),
		"NSID":        packed(t, withOptions(ask("www.example.com.", dns.TypeA), rawOption(dns.EDNS0NSID))),
	}
}

// TestFastPathAllocatesNothing covers every outcome of the fast path.
func TestFastPathAllocatesNothing(t *testing.T) {
	r := New(world(t), Options{}).Responder()
	out := make([]byte, 0, 4096)
	for name, query := range benchQueries(t) {
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, benchSource, false) }); n != 0 {
			t.Errorf("%s: %v allocations a query", name, n)
		}
	}
}

func benchmarkRespond(b *testing.B, which string) {
	r := New(world(b), Options{}).Responder()
	query := benchQueries(b)[which]
	out := make([]byte, 0, 4096)
	r.acquire()
	defer r.release()
	b.ReportAllocs()
	for b.Loop() {
		out = r.Answer(out[:0], query, benchSource, false)
	}
}

func BenchmarkRespondStatic(b *testing.B)      { benchmarkRespond(b, "Static") }
func BenchmarkRespondBalanced(b *testing.B)    { benchmarkRespond(b, "Balanced") }
func BenchmarkRespondBalancedECS(b *testing.B) { benchmarkRespond(b, "BalancedECS") }
func BenchmarkRespondWildcard(b *testing.B)    { benchmarkRespond(b, "Wildcard") }
func BenchmarkRespondNXDomain(b *testing.B)    { benchmarkRespond(b, "NXDomain") }
func BenchmarkRespondAlias(b *testing.B)       { benchmarkRespond(b, "Alias") }
func BenchmarkRespondDName(b *testing.B)       { benchmarkRespond(b, "DName") }
func BenchmarkRespondReferral(b *testing.B)    { benchmarkRespond(b, "Referral") }

// BenchmarkSlowPath measures questions that the fast path does not answer.
func BenchmarkSlowPath(b *testing.B) {
	r := New(world(b), Options{}).Responder()
	query := packed(b, ask("mail.example.com.", dns.TypeANY))
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = r.Respond(out[:0], query, benchSource, false)
	}
}
