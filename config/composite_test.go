package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCompositeCheckHasItsParts(t *testing.T) {
	cfg := parse(t, `
checks:
  site: {type: at_least, n: 2, checks: [web, {check: db, critical: true}, {check: tls, observe_only: true}, {check: open, address: 127.0.0.5}]}
  web: {type: http}
  db: {type: tcp, port: 5432}
  tls: {type: tls}
  open: {type: invert, checks: [web]}
`)
	site := &cfg.Checks[0]
	want := []CheckPart{
		{Check: &cfg.Checks[1]},
		{Check: &cfg.Checks[2], Critical: true},
		{Check: &cfg.Checks[3], ObserveOnly: true},
		{Check: &cfg.Checks[4], Address: netip.MustParseAddr("127.0.0.5")},
	}
	if len(site.Parts) != len(want) || site.N != 2 || !site.Type.Composite() {
		t.Fatalf("%+v", site)
	}
	for i, p := range site.Parts {
		if p != want[i] {
			t.Errorf("part %d is %+v, want %+v", i, p, want[i])
		}
	}
	if site.Interval != 0 || site.Timeout != 0 || site.Rise != 0 || site.Fall != 0 {
		t.Errorf("a composite check with times or thresholds: %+v", site)
	}
}

func TestPartMayPrecedeItsCheck(t *testing.T) {
	for _, document := range []string{
		"checks: {a: {type: any, checks: [b]}, b: {type: http}}",
		"checks: {b: {type: http}, a: {type: any, checks: [b]}}",
	} {
		cfg := parse(t, document)
		for i := range cfg.Checks {
			if c := &cfg.Checks[i]; c.Name == "a" && c.Parts[0].Check != &cfg.Checks[1-i] {
				t.Errorf("%s: part is %p", document, c.Parts[0].Check)
			}
		}
	}
}

func TestPartOfACheckCountsAsUsed(t *testing.T) {
	_, warnings, err := Parse("f", []byte(`
checks: {a: {type: all, checks: [b]}, b: {type: http}}
pools: {p: {policy: failover, check: a, members: [{name: x, addresses: [192.0.2.1]}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.HasPrefix(w.Path, "checks") {
			t.Error(w)
		}
	}
}

func TestPushCheckDefaults(t *testing.T) {
	c := parse(t, "checks: {a: {type: push}}").Checks[0]
	if c.Lease != 30*time.Second || c.Rise != 1 || c.Fall != 1 || c.Interval != 0 || c.Timeout != 0 {
		t.Errorf("%+v", c)
	}
	c = parse(t, "checks: {a: {type: push, lease: 1h, rise: 3, fall: 2}}").Checks[0]
	if c.Lease != time.Hour || c.Rise != 3 || c.Fall != 2 {
		t.Errorf("%+v", c)
	}
}

func TestSocketIsRelativeToTheFileAndHasNoPort(t *testing.T) {
	cfg, _, err := Parse("etc/config.yaml", []byte(`
checks:
  a: {type: http, unix: app.sock}
  b: {type: tcp, unix: /run/app.sock, proxy_protocol: v1}
  c: {type: grpc, unix: ../app.sock, proxy_protocol: v2}
  d: {type: tls}
`))
	if err != nil {
		t.Fatal(err)
	}
	type way struct {
		unix        string
		port, proxy int
	}
	want := []way{{"etc/app.sock", 0, 0}, {"/run/app.sock", 0, 1}, {"app.sock", 0, 2}, {"", 443, 0}}
	for i, c := range cfg.Checks {
		if got := (way{c.Unix, c.Port, c.ProxyProtocol}); got != want[i] {
			t.Errorf("%s: %+v, want %+v", c.Name, got, want[i])
		}
	}
}
