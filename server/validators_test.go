package server

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/counterpart"
	"meridian/snapshot"
)

const signedConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1}
dnssec: {keys: keys, policies: {default: {denial: DENIAL}}}
pools:
  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}, {name: b, addresses: [192.0.2.2]}]}
zones:
  example.com:
    dnssec: default
    file: example.com.zone
    names: {www: {pool: web}, "@": {pool: web}, "*.t": {pool: web, https: {alpn: [h2]}}}
`

const signedZone = `
@ 300 IN SOA ns1 host 1 7200 3600 604800 60
@ 300 IN NS ns1
ns1 300 IN A 127.0.0.1
txt 300 IN TXT "hello"
alias 300 IN CNAME www
tree 300 IN DNAME t
sub 300 IN NS ns.sub
ns.sub 300 IN A 192.0.2.99
a.ent 300 IN TXT "below"
`

// TestValidatorAcceptsSignedAnswers serves a zone with new keys, and has delv validate answers of every kind. All of
// them are asked by UDP, with no signature in the cache: each is postponed first.
func TestValidatorAcceptsSignedAnswers(t *testing.T) {
	counterpart.Find(t, "delv")
	for _, denial := range []string{"compact", "nsec"} {
		t.Run(denial, func(t *testing.T) { delvAcceptsAnswers(t, denial) })
	}
}

func delvAcceptsAnswers(t *testing.T, denial string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.com.zone"), []byte(signedZone), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(strings.Replace(signedConfig, "DENIAL", denial, 1)))
	if err != nil {
		t.Fatal(err)
	}
	built, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer built.Close()
	s := New(built, Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context()) }()
	t.Cleanup(func() { <-done })

	anchor := filepath.Join(dir, "anchor")
	if err := os.WriteFile(anchor, trustAnchor(t, built), 0o600); err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(s.Addrs()[0].Port())
	for _, test := range []struct{ name, qtype, want string }{
		{"www", "A", "; fully validated"},
		{"www", "AAAA", "; fully validated"},
		{"www", "TXT", "; negative response, fully validated"},
		{"x.t", "HTTPS", "; fully validated"},
		{"txt", "TXT", "; fully validated"},
		{"alias", "A", "; fully validated"},
		{"x.tree", "A", "; fully validated"},
		{"nothing", "A", "; negative response, fully validated"},
		{"ent", "A", "; negative response, fully validated"},
		{"y.t", "MX", "; negative response, fully validated"},
		{"sub", "DS", "; negative response, fully validated"},
	} {
		out := counterpart.Output(t, "delv", "-a", anchor, "+root=example.com", "@127.0.0.1", "-p", port, test.name+".example.com", test.qtype)
		if !strings.Contains(out, test.want) {
			t.Errorf("%s %s: want %q\n%s", test.name, test.qtype, test.want, out)
		}
	}
	if made := built.Signing.Zones[0].KeyTags(dns.TypeA); len(made) != 1 {
		t.Errorf("keys %v, want one CSK", made)
	}
}

// trustAnchor returns a trust anchor for delv with the DNSKEY set of the first zone.
func trustAnchor(t *testing.T, s *snapshot.Snapshot) []byte {
	t.Helper()
	set, ok := s.Signing.Zones[0].ApexSet(dns.TypeDNSKEY)
	if !ok {
		t.Fatal("no DNSKEY set")
	}
	rdata := set.Data[2:]
	return fmt.Appendf(nil, "trust-anchors { example.com. static-key %d %d %d %q; };\n", uint16(rdata[0])<<8|uint16(rdata[1]), rdata[2], rdata[3], base64.StdEncoding.EncodeToString(rdata[4:]))
}
