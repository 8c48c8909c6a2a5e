package answer

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/health"
	"meridian/server/answer/answertest"
)

const pair = `
checks:
  tcp: {type: tcp, port: 1}
pools:
  pair: {policy: failover, check: tcp, members: [{name: first, addresses: [192.0.2.1]}, {name: second, addresses: [192.0.2.2]}]}
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: pair}}
`

// BenchmarkTransition measures the time from a health state change to the first answer that uses it.
// That must be the next one; otherwise the benchmark fails.
func BenchmarkTransition(b *testing.B) {
	snapshot := answertest.Build(b, pair, answertest.LoneZone)
	r := newEngine(snapshot, nil).Responder()
	query := answertest.Packed(b, answertest.Ask("www.example.com.", dns.TypeA))
	source := netip.MustParseAddr("127.0.0.1")
	var turns [2][]health.Transition
	for i, v := range []health.Verdict{health.Down, health.Up} {
		var err error
		if turns[i], err = snapshot.Pools.SimulateVerdict("pair", "first", v); err != nil {
			b.Fatal(err)
		}
	}
	wants := [2][]byte{{192, 0, 2, 2}, {192, 0, 2, 1}}
	var out []byte
	i := 0
	for b.Loop() {
		snapshot.Pools.Apply(turns[i&1])
		out = r.Respond(out[:0], query, source, false)
		if !bytes.HasSuffix(out, wants[i&1]) {
			b.Fatalf("turn %d is not in the next answer", i)
		}
		i++
	}
}
