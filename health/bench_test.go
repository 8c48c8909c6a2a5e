package health

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"
)

// BenchmarkProbeHTTP is one probe of a local endpoint, the endpoint's own work included.
func BenchmarkProbeHTTP(b *testing.B) {
	e := serve(b, says(page("200 OK", "ok")))
	check := httpCheck(e)
	c, _ := newChecker(&check)
	dial := (&net.Dialer{KeepAlive: -1}).DialContext
	log := slog.New(slog.DiscardHandler)
	b.ReportAllocs()
	for b.Loop() {
		if r := c.probe(b.Context(), e.Addr(), dial, log); r.Outcome != Passed {
			b.Fatal(r.Reason)
		}
	}
}

// BenchmarkOwner is what a result costs the one goroutine that owns 10,000
// targets, the probe itself left out: half of the endpoints answer at once and
// the other half refuse. 2,000 results a second come at the default interval.
func BenchmarkOwner(b *testing.B) {
	o := newOwner(b.Context(), NewProber(Options{Logger: slog.New(slog.DiscardHandler)}))
	check := tcpCheck()
	targets := targetsOf(check, addrs(10_000))
	checkers, err := newCheckers(targets)
	if err != nil {
		b.Fatal(err)
	}
	w := &Watch{targets: targets, turned: func([]Turn) {}, settled: make(chan struct{}), entries: make([]*entry, len(targets)), known: make([]bool, len(targets))}
	w.unknown.Store(int64(len(targets)))
	o.subscribe(w, checkers)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		e := o.waiting.first()
		o.waiting.remove(e)
		e.probing, e.began = true, e.due
		o.running++
		e.lane.running++
		outcome := Passed
		if n%2 == 0 {
			outcome = Failed
		}
		o.take(report{e, Result{Outcome: outcome, Reason: "connected", At: e.began}})
		o.tell()
	}
}

// BenchmarkSoak runs a whole prober over 10,000 endpoints, all served by one listener, each
// probed over HTTP at the default interval, for as long as the benchmark asks:
// one operation is one probe. Compare the process's CPU time with the wall
// time: go test -bench Soak -benchtime 20000x -cpu 1 ./health
func BenchmarkSoak(b *testing.B) {
	e := serve(b, says(page("200 OK", "ok")))
	check := httpCheck(e)
	done := make(chan struct{})
	left := b.N
	p := NewProber(Options{Logger: slog.New(slog.DiscardHandler), Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, e.String())
	}})
	ctx, stop := context.WithCancel(b.Context())
	go p.Run(ctx)
	w, err := p.Watch(targetsOf(&check, addrs(10_000)), func([]Turn) {})
	if err != nil {
		b.Fatal(err)
	}
	w.FirstRound(b.Context())
	b.ResetTimer()
	start := time.Now()
	before := e.connections()
	go func() {
		defer close(done)
		for e.connections()-before < left {
			time.Sleep(10 * time.Millisecond) // a measurement, not a test
		}
	}()
	<-done
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "probes/s")
	stop()
	<-p.stopped
}
