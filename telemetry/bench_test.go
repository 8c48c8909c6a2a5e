package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
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

// BenchmarkEventToWebhook measures the time from a report of a health state to the request at a webhook.
func BenchmarkEventToWebhook(b *testing.B) {
	arrived := make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} }))
	defer sink.Close()
	w := watch(b, watchedConfig+"notify: [{webhook: \""+sink.URL+"\", events: [state]}]\n")
	<-arrived // an endpoint is down at start
	for up := false; b.Loop(); up = !up {
		if err := w.control.Report("told", netip.MustParseAddr("127.0.0.86"), up, "", 0); err != nil {
			b.Fatal(err)
		}
		<-arrived
	}
}

// largeConfig returns a configuration with 10,000 endpoints.
func largeConfig() string {
	var pools, names strings.Builder
	for p := range 1000 {
		fmt.Fprintf(&pools, "  p%d: {policy: weighted, check: told, members: [", p)
		for m := range 10 {
			fmt.Fprintf(&pools, "{name: m%d, addresses: [10.%d.%d.%d]}, ", m, p/250, p%250, m)
		}
		pools.WriteString("]}\n")
		fmt.Fprintf(&names, "      n%d: {pool: p%d}\n", p, p)
	}
	return `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
checks: {told: {type: push}}
pools:
` + pools.String() + `
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: a@example.com
    names:
` + names.String()
}

// BenchmarkScrape scrapes a server with 10,000 endpoints.
func BenchmarkScrape(b *testing.B) {
	w := watch(b, largeConfig())
	w.handler = w.metrics.exporter(w.control) // without pauses
	lines := strings.Count(w.scrape(b, "text/plain"), "\n")
	b.ReportMetric(float64(lines), "lines")
	for b.Loop() {
		w.scrape(b, "text/plain")
	}
}

// BenchmarkAnswerDuringScrapes measures a query over UDP while the metrics of 10,000 addresses are scraped every 10 ms, or
// as often as they can be, and without scrapes.
func BenchmarkAnswerDuringScrapes(b *testing.B) {
	w := watch(b, largeConfig())
	for _, scraped := range []bool{false, true} {
		b.Run(fmt.Sprintf("scraped=%v", scraped), func(b *testing.B) {
			ctx, stop := context.WithCancel(b.Context())
			var running sync.WaitGroup
			if scraped {
				running.Go(func() {
					for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
						w.scrape(b, "text/plain")
					}
				})
			}
			for b.Loop() {
				w.ask(b, "n1.example.com.")
			}
			stop()
			running.Wait()
		})
	}
}
