package answer

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
)

const ecsOfSomeNames = `
server: {ecs: false}
geo: {networks: {198.51.100.0/24: {region: east}, 203.0.113.0/24: {region: west}}}
regions: {east: {location: [0, 0]}, west: {location: [0, 90]}}
pools:
  web: {policy: proximity, members: [{name: e, region: east, addresses: [192.0.2.1]}, {name: w, region: west, addresses: [192.0.2.2]}]}
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: web}, mapped: {pool: web, ecs: true}, "*.wild": {pool: web, ecs: true}}
`

// A name may use client subnets although the server as a whole does not. Other answers, static or
// negative, then carry none. Explanations agree.
func TestECSIsSetByName(t *testing.T) {
	snapshot := answertest.Build(t, ecsOfSomeNames, answertest.LoneZone)
	p := newPaths(snapshot)
	client, resolver := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("203.0.113.9")
	subnet := []byte{0, 1, 24, 0, 198, 51, 100}
	for _, c := range []struct {
		name, address, decider, source string
		options                        int
	}{
		{"www.example.com.", "192.0.2.2", "203.0.113.9", "resolver", 0},
		{"mapped.example.com.", "192.0.2.1", "198.51.100.0/24", "ecs", 1},
		{"a.wild.example.com.", "192.0.2.1", "198.51.100.0/24", "ecs", 1},
		{"nothing.example.com.", "", "203.0.113.9", "resolver", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := exchange(t, p, answertest.Packed(t, answertest.WithOptions(answertest.Ask(c.name, dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, subnet...))), resolver.String(), false)
			if len(answer.IsEdns0().Option) != c.options {
				t.Errorf("options of %v", answer)
			}
			asked := ExplainQuery{Name: dnsname.Name(c.name), Type: dns.TypeA, Client: client, Resolver: resolver}
			e := Trace(snapshot, asked)
			if e.Client.String() != strings.TrimSuffix(c.decider, "/24") || e.Source != c.source {
				t.Errorf("explained for %s by %s, want %s by %s", e.Client, e.Source, c.decider, c.source)
			}
			for _, rr := range explained(answer.Answer) {
				if rr.Data != c.address || e.Answers[0].Data != c.address {
					t.Errorf("answered %s, explained %v, want %s", rr.Data, e.Answers, c.address)
				}
			}
			if _, decides := EffectiveClient(snapshot.Config, snapshot.Geo, asked); c.source == "ecs" && decides != client || c.source != "ecs" && decides.Addr() != resolver {
				t.Errorf("the decider is %s", decides)
			}
		})
	}
	malformed := answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1)))
	if answer := exchange(t, p, malformed, resolver.String(), false); answer.Rcode != dns.RcodeFormatError {
		t.Errorf("a malformed subnet where some name reads them: %v", answer)
	}
}
