package health

import (
	"log/slog"
	"testing"
)

// BenchmarkProbeHTTP is one probe of a local endpoint, the endpoint's own work included.
func BenchmarkProbeHTTP(b *testing.B) {
	e := serve(b, says(page("200 OK", "ok")))
	check := httpCheck(e)
	c, _ := prepareCheck(&check)
	log := slog.New(slog.DiscardHandler)
	b.ReportAllocs()
	for b.Loop() {
		if r, _ := c.probe(b.Context(), e.Addr(), systemDial, log); r.Outcome != Passed {
			b.Fatal(r.Reason)
		}
	}
}

// BenchmarkOwner is what a result costs the one goroutine that owns 10,000
// targets, the probe itself left out: half of the endpoints answer at once and
// the other half refuse. 2,000 results a second come at the default interval.
func BenchmarkOwner(b *testing.B) {
	o, _ := owning(b, targetsOf(tcpCheck(), addrs(10_000)))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		e := o.waiting.first()
		o.waiting.remove(e)
		e.probing, e.probeStart = true, e.due
		o.running++
		e.limiter.running++
		outcome := Passed
		if n%2 == 0 {
			outcome = Failed
		}
		o.drainReports(report{entry: e, result: Result{Outcome: outcome, Reason: "connected", At: e.probeStart}})
		o.notify()
	}
}
