package health

import (
	"log/slog"
	"testing"
)

// BenchmarkProbeHTTP measures one probe of a local endpoint, including the endpoint's own work.
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

// BenchmarkScheduler measures the cost of a result in the scheduler with 10,000 targets, without the probe: half of the
// endpoints accept at once and the other half refuse. At the default interval 2,000 results a second arrive.
func BenchmarkScheduler(b *testing.B) {
	o, _ := newIdleScheduler(b, targetsOf(tcpCheck(), addrs(10_000)))
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
