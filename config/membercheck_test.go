package config

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

const memberChecks = `
pools:
  p:
    policy: weighted
    check: web
    members:
      - {name: plain, addresses: [192.0.2.1]}
      - {name: same, addresses: [192.0.2.1], check: {use: web, port: 80, path: /}}
      - {name: port, addresses: [192.0.2.1], check: {use: web, port: 8080}}
      - {name: shared, addresses: [192.0.2.1], check: {port: 8080}}
      - {name: all, addresses: [192.0.2.2, "2001:db8::2"], check: {use: web, port: 8080, host: a.example, path: /x, source: ["2001:db8::9", 192.0.2.9]}}
      - {name: other, addresses: [192.0.2.3], check: {use: both, source: 192.0.2.8}}
      - {name: reversed, addresses: [192.0.2.3], check: {use: both, source: ["2001:db8::7", 192.0.2.7]}}
      - {name: resolved, target: lb.example.net, check: {use: web, source: "2001:db8::9"}}
checks:
  web: {type: http}
  both: {type: tcp, port: 25, source: [192.0.2.7, "2001:db8::7"]}
zones:
  example.net: {nameservers: {ns.example.org: []}, contact: h@example.net, names: {www: {pool: p}}}
`

func TestEqualMemberSettingsShareACheck(t *testing.T) {
	cfg, _, err := Parse("config.yaml", []byte(memberChecks))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"plain web", "same web", "port web (port 8080)", "shared web (port 8080)",
		"all web (port 8080, host a.example, path /x, source 2001:db8::9 and 192.0.2.9)",
		"other both (source 192.0.2.8)", "reversed both", "resolved web (source 2001:db8::9)",
	}
	var got []string
	for _, m := range cfg.Pools[0].Members {
		got = append(got, m.Name+" "+m.Check)
	}
	if !slices.Equal(got, want) {
		t.Errorf("checks %q, want %q", got, want)
	}
	if len(cfg.Checks) != 6 {
		t.Errorf("%d checks, want the two of the file and one for each of four combinations", len(cfg.Checks))
	}
	c := cfg.Checks[3]
	if c.Name != "web (port 8080, host a.example, path /x, source 2001:db8::9 and 192.0.2.9)" || c.Base != "web" || c.Type != HTTP ||
		c.Port != 8080 || c.Host != "a.example" || c.Path != "/x" || c.Rise != 2 ||
		!slices.Equal(c.Sources, []netip.Addr{netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("192.0.2.9")}) {
		t.Errorf("derived check %+v", c)
	}
}

// TestCheckWithTheNameOfADerivedOne uses a check with the name of a derived one.
func TestCheckWithTheNameOfADerivedOne(t *testing.T) {
	name := Check{Name: "web"}.with(CheckSettings{Port: 8080}).Name
	_, _, err := Parse("config.yaml", fmt.Appendf(nil, "checks: {%q: {type: http}}\nzones: {}\n", name))
	if err == nil {
		t.Errorf("a check of the file may be called %q", name)
	}
}
