package answer

import (
	"testing"

	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/snapshot"

	"github.com/miekg/dns"
)

const degradedConfig = `
checks: {web: {type: tcp, port: 80}}
pools:
  web: {policy: failover, check: web, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}, {name: b, addresses: [192.0.2.2, "2001:db8::2"], records: {TXT: ["b"]}}]}
  alias: {policy: failover, members: [{name: c, cname: host.example.net}, {name: d, pool: web}]}
zones:
  example.com:
    file: example.com.zone
    ttl: {normal: 60, degraded: 10}
    names:
      zone: {pool: web}
      name: {pool: web, ttl: {normal: 50, degraded: 5}, https: {}}
      same: {pool: web, ttl: 40, https: {hints: false}}
      alias: {pool: alias}
`

// While a member of the pool is down for a family, answers have the other TTL, on both paths and without allocating.
func TestDegradedTTL(t *testing.T) {
	s := answertest.Build(t, degradedConfig, answertest.LoneZone)
	p := newPaths(s)
	type row map[string][3]uint32 // by name: the TTLs of A, AAAA and HTTPS
	expect := func(when string, want row) {
		t.Helper()
		for name, ttls := range want {
			for i, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
				query := answertest.Packed(t, answertest.WithOptions(answertest.Ask(name+".example.com.", qtype)))
				p.compare(t, query, answertest.BenchSource, false)
				var m dns.Msg
				out := p.wire.Respond(nil, query, answertest.BenchSource, false)
				if err := m.Unpack(out); err != nil || ttls[i] > 0 && (len(m.Answer) == 0 || m.Answer[0].Header().Ttl != ttls[i]) {
					t.Errorf("%s: %v, want TTL %d in %s", when, err, ttls[i], &m)
				}
				if n := testing.AllocsPerRun(100, func() { out = p.wire.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 && qtype != dns.TypeHTTPS {
					t.Errorf("%s: %v allocations a query for %s", when, n, name)
				}
			}
		}
	}
	normal := row{"zone": {60, 60}, "name": {50, 50, 50}, "same": {40, 40, 40}, "alias": {60, 60, 60}}
	expect("all up", normal)
	turn(s, "2001:db8::2", health.Down)
	expect("one IPv6 address down", row{"zone": {60, 10}, "name": {50, 5, 5}, "same": {40, 40, 40}, "alias": {60, 10, 10}})
	turn(s, "2001:db8::2", health.Up)
	expect("up again", normal)
	s.Pools.SetOverrides([]pools.Override{{Pool: "web", Member: "b", Kind: pools.Drained}})
	expect("drained", row{"zone": {10, 10}, "name": {5, 5, 5}, "same": {40, 40, 40}, "alias": {10, 10, 10}})
}

// turn sets the health state of an address.
func turn(s *snapshot.Snapshot, address string, to health.Verdict) {
	for i, target := range s.Pools.Targets() {
		if target.Addr.String() == address {
			s.Pools.Apply([]health.Transition{{Index: i, Target: target, To: to}})
		}
	}
}

// A record with hints: false has no address of the pool.
func TestHTTPSWithoutHints(t *testing.T) {
	p := newPaths(answertest.Build(t, degradedConfig, answertest.LoneZone))
	for name, want := range map[string]int{"name": 3, "same": 1} { // alpn, and the hints
		query := answertest.Packed(t, answertest.Ask(name+".example.com.", dns.TypeHTTPS))
		p.compare(t, query, answertest.BenchSource, false)
		var m dns.Msg
		if err := m.Unpack(p.wire.Respond(nil, query, answertest.BenchSource, false)); err != nil || len(m.Answer) != 1 || len(m.Answer[0].(*dns.HTTPS).Value) != want {
			t.Errorf("%s: %v, want %d parameters in %s", name, err, want, &m)
		}
	}
}
