package answer

import (
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// TestFastPathAllocatesNothing covers every outcome of the fast path.
func TestFastPathAllocatesNothing(t *testing.T) {
	r := newEngine(answertest.World(t), nil).Responder()
	out := make([]byte, 0, 4096)
	for name, query := range answertest.BenchQueries(t) {
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
			t.Errorf("%s: %v allocations a query", name, n)
		}
	}
}

func benchmarkRespond(b *testing.B, which string) {
	r := newEngine(answertest.World(b), nil).Responder()
	query := answertest.BenchQueries(b)[which]
	out := make([]byte, 0, 4096)
	r.Acquire()
	defer r.Release()
	b.ReportAllocs()
	for b.Loop() {
		out = r.Answer(out[:0], query, answertest.BenchSource, false)
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
	r := newEngine(answertest.World(b), nil).Responder()
	query := answertest.Packed(b, answertest.Ask("mail.example.com.", dns.TypeANY))
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = r.Respond(out[:0], query, answertest.BenchSource, false)
	}
}
