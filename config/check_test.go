package config

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestChecksOverTLSAreSecure(t *testing.T) {
	cfg := parse(t, `
checks:
  http: {type: http}
  https: {type: https}
  tls: {type: tls}
  tcp: {type: tcp, port: 1}
  plain: {type: grpc, port: 1}
  secure: {type: grpc, port: 1, tls: {}}
  merged: {<<: {tls: {insecure: true}}, type: grpc, port: 1, service: shop.Cart}
`)
	want := map[string]bool{"https": true, "tls": true, "secure": true, "merged": true}
	for _, c := range cfg.Checks {
		if c.Secure != want[c.Name] {
			t.Errorf("%s: secure %v", c.Name, c.Secure)
		}
	}
	if merged := cfg.Checks[6]; !merged.TLS.Insecure || merged.Service != "shop.Cart" {
		t.Errorf("merged %+v", merged)
	}
}

func TestDNSCheckQueriesAnAddressByDefault(t *testing.T) {
	cfg := parse(t, `
checks:
  plain: {type: dns, query: WWW.Example.com}
  told: {type: dns, port: 5353, query: example.com., query_type: soa, rcode: refused, answer: "^ns1"}
`)
	plain, told := cfg.Checks[0], cfg.Checks[1]
	if plain.Port != 53 || plain.Query != "www.example.com." || plain.QueryType != dns.TypeA || plain.Rcode != dns.RcodeSuccess || plain.Answer != nil {
		t.Errorf("%+v", plain)
	}
	if told.Port != 5353 || told.Query != "example.com." || told.QueryType != dns.TypeSOA || told.Rcode != dns.RcodeRefused || told.Answer.String() != "^ns1" {
		t.Errorf("%+v", told)
	}
}

func TestCommandWithASlashIsRelativeToTheFile(t *testing.T) {
	for in, want := range map[string]string{
		"check": "check", "./check": "etc/check", "bin/check": "etc/bin/check", "/bin/check": "/bin/check", "../check": "./check",
	} {
		cfg, _, err := Parse("etc/config.yaml", []byte("checks: {a: {type: exec, command: ["+in+", -n, 5, '']}}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Checks[0]; !slices.Equal(got.Command, []string{want, "-n", "5", ""}) || got.CommandPos != (Pos{1, 35}) {
			t.Errorf("%s: %q at %v, want %s", in, got.Command, got.CommandPos, want)
		}
	}
}
