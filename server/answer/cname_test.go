package answer

import (
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// A CNAME to a name outside our zones takes the fast path, for any type, without an allocation.
func TestPoolCNAMEAllocatesNothing(t *testing.T) {
	snapshot := answertest.Build(t, `
pools:
  mixed: {policy: round-robin, members: [{name: a, addresses: [192.0.2.1]}, {name: b, cname: host.example.net}]}
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: mixed}}
`, answertest.LoneZone)
	r := newEngine(snapshot, nil).Responder()
	out := make([]byte, 0, 512)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
		query := answertest.Packed(t, answertest.Ask("www.example.com.", qtype))
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
			t.Errorf("%s: %v allocations a query", dns.TypeToString[qtype], n)
		}
	}
}
