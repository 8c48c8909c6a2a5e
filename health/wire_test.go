package health

import (
	"fmt"
	"net/netip"
	"testing"

	"meridian/config"
)

// The identities of probes of wire version 1. A node computes them from its own configuration, so they are a part of the wire
// format: nodes of another version that computed others would not agree about any endpoint during an upgrade. The names and the
// types of the fields of a check are in the digest: after a change of these, IDOf must give the old names.
func TestIdentitiesOfWireVersion1(t *testing.T) {
	for name, c := range map[string]struct{ check, id string }{
		"http":  {"type: http", "a7f5dc3d97bd574a"},
		"https": {"type: https, host: www.example.com, path: /healthz, headers: {X-Probe: meridian}, status: [200, 300-399], body: ok, follow_redirects: true, http2: true, port: 8443", "6f14f2607c4f0241"},
		"plain": {"type: https, tls: {server_name: a.example, insecure: true}, proxy_protocol: v2, method: HEAD", "414da4649d98a0e4"},
		"tcp":   {`type: tcp, port: 25, send: "QUIT", expect: "^220"`, "de62e202f3dc62c4"},
		"tls":   {"type: tls, port: 993", "2e1bfea86e2651bf"},
		"grpc":  {"type: grpc, port: 9000, service: api, tls: {}", "1f3984990d9ce52f"},
		"dns":   {"type: dns, query: example.com, query_type: MX, rcode: NXDOMAIN", "03649251996fd8dc"},
		"icmp":  {"type: icmp", "7312a04fd97fb9e9"},
	} {
		cfg, _, err := config.Parse("m.yaml", []byte("checks: {web: {"+c.check+`}}
pools: {p: {policy: failover, check: web, members: [{name: a, addresses: [192.0.2.1]}]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: p}}}}
`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprintf("%016x", uint64(IDOf(&cfg.Checks[0], netip.MustParseAddr("192.0.2.1")))); got != c.id {
			t.Errorf("%s: %s, want %s", name, got, c.id)
		}
	}
}

// The codes in blocks have a meaning of their own, which does not change.
func TestCodesOfWireVersion1(t *testing.T) {
	for i, want := range []Verdict{Unknown, Up, Down} {
		if int(want) != i {
			t.Errorf("%v is %d, want %d", want, want, i)
		}
	}
	for i, want := range []ReasonCode{NoReason, ProbePassed, ProbeFailed, ProbeTimedOut, NoResult} {
		if int(want) != i {
			t.Errorf("%v is %d, want %d", want, want, i)
		}
	}
	if got := ReasonCode(63).String(); got != "reason 63" {
		t.Errorf("a reason of a later version is shown as %q", got)
	}
}
