package zones_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

const memberWorld = `
pools:
  web:
    policy: weighted
    fallback: spare
    members:
      - {name: a, addresses: [192.0.2.1], records: {SRV: ["1 1 1 {name}", "1 1 1 A"], TXT: [x, x, y], MX: ["0 ."]}}
      - {name: in, pool: inner}
  inner: {policy: weighted, members: [{name: b, records: {HTTPS: ["1 ."]}}]}
  spare: {policy: weighted, members: [{name: c, records: {SVCB: ["1 sub.x.example.com."]}}]}
  unused: {policy: weighted, members: [{name: d, addresses: [192.0.2.2], records: {SRV: ["1 1 1 nothing"]}}]}
zones:
  example.com: {file: zone, names: {www: {pool: web}, "*.w": {pool: web}, plain: {pool: inner}}}
`

const memberZone = "@ SOA ns.example.net. h 1 2 3 4 5\n@ NS ns.example.net.\na A 192.0.2.1\nx NS ns.example.net.\nsub.below.ent A 192.0.2.1\n"

func TestTypesOfMembersAreThoseOfTheName(t *testing.T) {
	s, report := zones.Compile(load(t, memberWorld, map[string]string{"zone": memberZone}))
	if _, err := report.Join(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]uint16{
		"www.example.com.":   {dns.TypeA, dns.TypeSRV, dns.TypeMX, dns.TypeTXT, dns.TypeSVCB, dns.TypeHTTPS},
		"plain.example.com.": {dns.TypeHTTPS},
	} {
		match := s.Lookup(dnsname.Name(name).Wire(), dns.TypeA)
		if got := s.AppendTypes(nil, match.Node); !slices.Equal(got, want) {
			t.Errorf("%s has types %v, want %v", name, got, want)
		}
	}
	zone := s.Lookup(dnsname.Name("www.example.com.").Wire(), dns.TypeA).Zone
	for typ, want := range map[uint16]int{dns.TypeSRV: 2, dns.TypeTXT: 2, dns.TypeMX: 1, dns.TypeHTTPS: 0} {
		if got := s.MemberRecords(zone, 0, typ).Count; got != want {
			t.Errorf("member a has %d records of type %d, want %d", got, typ, want)
		}
	}
	if got := s.MemberRecords(zone, 4, dns.TypeSRV).Count; got != 0 {
		t.Errorf("a member of a pool that no name leads to has %d records", got)
	}
}

func TestErrorsOfMemberRecords(t *testing.T) {
	for behaviour, c := range map[string]struct{ config, zone, want string }{
		"a host that does not exist": {`"1 1 1 {name}"`, `"1 1 1 missing"`, `meridian.yaml:7:59: pools.web.members[0].records.SRV[0]: SRV "1 1 1 missing" in zone "example.com.": missing.example.com. does not exist; write a name that exists`},
		"a host without records":     {`"1 1 1 {name}"`, `"1 1 1 below.ent"`, `below.ent.example.com. has no records`},
		"a name that is too long":    {`"1 1 1 {name}"`, `"1 1 1 ` + strings.Repeat(strings.Repeat("l", 60)+".", 4) + `l"`, `domain name exceeded 255`},
		"a static record beside":     {"zone", "zone", ``},
	} {
		text, zone := strings.Replace(memberWorld, c.config, c.zone, 1), memberZone
		if c.config == "zone" {
			text, zone = memberWorld, memberZone+"www TXT x\n"
			c.want = `TXT of "www.example.com.", whose pool "web" has members with TXT records; remove one of the two`
		}
		_, report := zones.Compile(load(t, text, map[string]string{"zone": zone}))
		if _, err := report.Join(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", behaviour, err, c.want)
		}
	}
	both := strings.Replace(memberWorld, "plain: {pool: inner}", "plain: {pool: inner, https: {}}", 1)
	_, report := zones.Compile(load(t, both, map[string]string{"zone": memberZone}))
	const want = `zones.example.com.names.plain: https, and pool "inner" has members with HTTPS records; remove one of the two`
	if _, err := report.Join(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("https and HTTPS records: %v", err)
	}
}
