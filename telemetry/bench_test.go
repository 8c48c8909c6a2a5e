package telemetry

import (
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

// loggedQuery returns a query with a client subnet, with its answer and decision.
func loggedQuery(t testing.TB) *answer.LoggedQuery {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion("n123.gslb.example.com.", dns.TypeA)
	q.SetEdns0(1232, false)
	a := new(dns.Msg)
	a.SetReply(q)
	a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: []byte{192, 0, 2, 1}})
	a.SetEdns0(1232, false)
	query, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return &answer.LoggedQuery{
		Time: time.Unix(1772366400, 5000), Client: netip.MustParseAddrPort("198.51.100.7:4711"), Subnet: netip.MustParsePrefix("203.0.113.0/24"),
		Echoed: true, Scope: 24, Zone: "gslb.example.com.", Decided: true, Pool: "web", Member: "euw-1", Region: "eu-west", Query: query, Response: response,
	}
}

// BenchmarkQueryLog measures the cost of one logged query beside the packet path.
func BenchmarkQueryLog(b *testing.B) {
	q, log := loggedQuery(b), slog.New(slog.DiscardHandler)
	b.Run("json", func(b *testing.B) {
		f := newLineFile(os.DevNull, log)
		b.ReportAllocs()
		for b.Loop() {
			f.write(q)
		}
		f.close()
	})
}
