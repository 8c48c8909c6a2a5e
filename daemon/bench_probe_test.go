package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control"
	"meridian/health"
	"meridian/health/probe"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// BenchmarkProbeToAnswer measures the time from the end of a probe to the first answer that uses
// its result, with queries sent without a break. It covers the prober, the server's reaction to a
// health state change, and the query path, but not the wait for the next probe: use the reported
// time of an operation, not the duration of the benchmark. The endpoint is in one pool, and in
// 10,000.
func BenchmarkProbeToAnswer(b *testing.B) {
	for _, pools := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("pools=%d", pools), func(b *testing.B) { benchmarkProbeToAnswer(b, pools) })
	}
}

func benchmarkProbeToAnswer(b *testing.B, pools int) {
	snapshot := pairs(b, pools)
	begun, ends := make(chan struct{}), make(chan error) // of the running probe
	run := probing(b, snapshot, func(ctx context.Context, _ netip.Addr, _, _ string) (net.Conn, error) {
		select {
		case begun <- struct{}{}:
			near, _ := net.Pipe()
			return near, <-ends
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	end := func(result error) (at time.Time) {
		<-begun
		at = time.Now()
		ends <- result
		return at
	}
	go end(nil) // of the first round
	if _, _, err := run.subscribe(b.Context(), snapshot); err != nil {
		b.Fatal(err)
	}
	run.control.Commit(control.Generation{Snapshot: snapshot})

	r := run.server.Responder()
	query := answertest.Packed(b, answertest.Ask("www0.example.com.", dns.TypeA))
	results := [2]error{errors.New("refused"), nil}
	wants := [2][]byte{{192, 0, 2, 2}, {192, 0, 2, 1}}
	var out []byte
	var all, longest time.Duration
	i := 0
	for b.Loop() {
		from := end(results[i&1])
		for out = out[:0]; !bytes.HasSuffix(out, wants[i&1]); runtime.Gosched() {
			out = r.Respond(out[:0], query, answertest.BenchSource, false)
		}
		took := time.Since(from)
		all, longest = all+took, max(longest, took)
		i++
	}
	b.ReportMetric(float64(all.Nanoseconds())/float64(i), "ns/op")
	b.ReportMetric(float64(longest.Nanoseconds()), "longest-ns")
}

// pairs returns a snapshot of pools with the same two endpoints. The first is probed each
// millisecond, more often than a configuration permits.
func pairs(b *testing.B, pools int) *snapshot.Snapshot {
	b.Helper()
	var yaml, names strings.Builder
	yaml.WriteString("checks:\n  tcp: {type: tcp, port: 1, rise: 1, fall: 1}\npools:\n")
	for p := range pools {
		fmt.Fprintf(&yaml, "  pair%d: {policy: failover, members: [{name: first, check: tcp, addresses: [192.0.2.1]}, {name: second, addresses: [192.0.2.2]}]}\n", p)
		fmt.Fprintf(&names, "      www%d: {pool: pair%d}\n", p, p)
	}
	yaml.WriteString("zones:\n  example.com:\n    nameservers: {ns1.example.com: [192.0.2.53]}\n    contact: hostmaster@example.com\n    names:\n")
	cfg, _, err := config.Parse("meridian.yaml", []byte(yaml.String()+names.String()))
	if err != nil {
		b.Fatal(err)
	}
	cfg.Checks[0].Interval, cfg.Checks[0].Timeout = time.Millisecond, time.Hour
	snapshot, _, err := snapshot.Build(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { snapshot.Close() })
	return snapshot
}

// probing returns an instance with only the parts that a health state change needs, and a running
// prober.
func probing(b *testing.B, snapshot *snapshot.Snapshot, dial probe.Dial) *instance {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	run := newInstance(&Daemon{Logger: log})
	run.server.Begin(snapshot)
	run.prober = health.NewProber(health.Options{Dial: dial, Logger: log})
	ctx, stop := context.WithCancel(context.Background())
	probed := make(chan struct{})
	go func() { defer close(probed); run.prober.Run(ctx) }()
	b.Cleanup(func() { stop(); <-probed })
	return run
}
