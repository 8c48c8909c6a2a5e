package health

import (
	"testing"

	"meridian/health/probe"
)

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
		outcome := probe.Passed
		if n%2 == 0 {
			outcome = probe.Failed
		}
		o.drainReports(report{entry: e, result: probe.Result{Outcome: outcome, Reason: "connected", At: e.probeStart}})
		o.notify()
	}
}
