package server

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
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

// TestValidatorAcceptsPresignedZones has delv validate answers from zones that BIND has signed.
func TestValidatorAcceptsPresignedZones(t *testing.T) {
	counterpart.Find(t, "delv")
	for _, file := range []string{"nsec.zone", "nsec3.zone", "optout.zone"} {
		t.Run(file, func(t *testing.T) {
			zone, err := os.ReadFile(filepath.Join("answer", "testdata", "presigned", file))
			if err != nil {
				t.Fatal(err)
			}
			built := answertest.Build(t, "server: {listen: [\"127.0.0.1:0\"], workers: 1}\nzones: {example.com: {file: example.com.zone}}\n", string(zone))
			key, _ := built.Zones.RRset(built.Zones.ApexNode(0), dns.TypeDNSKEY)
			expanded := positive
			if file == "optout.zone" {
				expanded = "; unsigned answer" // there may be an unsigned delegation of the name (RFC 5155 9.2)
			}
			delvAccepts(t, built, key.Data[2:], []validated{
				{"www", "A", positive},
				{"www", "MX", negative},
				{"x.w", "A", expanded},
				{"x.w", "TXT", negative},
				{"x.wc", "A", positive},
				{"x.tree", "A", positive},
				{"a.nothing", "A", negative},
				{"ent", "A", negative},
				{"sub", "DS", negative},
				{"safe", "DS", positive},
			})
		})
	}
}

// validated is a question with the verdict that delv must print.
type validated struct{ name, qtype, want string }

const (
	positive = "; fully validated"
	negative = "; negative response, fully validated"
)

// delvAccepts serves a snapshot and has delv validate answers. key is the RDATA of the DNSKEY record of example.com.
func delvAccepts(t *testing.T, built *snapshot.Snapshot, key []byte, questions []validated) {
	t.Helper()
	port := fmt.Sprint(serve(t, built, false, "127.0.0.1:0").Addrs()[0].Port())
	anchor := filepath.Join(t.TempDir(), "anchor")
	if err := os.WriteFile(anchor, trustAnchor(key), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		out := counterpart.Output(t, "delv", "-a", anchor, "+root=example.com", "@127.0.0.1", "-p", port, q.name+".example.com", q.qtype)
		if !strings.Contains(out, q.want) {
			t.Errorf("%s %s: want %q\n%s", q.name, q.qtype, q.want, out)
		}
	}
}

// TestChaseSucceedsForSignedAnswers has drill follow signatures from answers to the key.
func TestChaseSucceedsForSignedAnswers(t *testing.T) {
	counterpart.Find(t, "drill")
	for _, denial := range []string{"compact", "nsec"} {
		built := answertest.Build(t, strings.Replace(signedConfig, "DENIAL", denial, 1), signedZone)
		set, _ := built.Signing.Zones[0].ApexSet(dns.TypeDNSKEY)
		port := fmt.Sprint(serve(t, built, false, "127.0.0.1:0").Addrs()[0].Port())
		anchor := filepath.Join(t.TempDir(), "anchor")
		key := &dns.RFC3597{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}, Rdata: hex.EncodeToString(set.Data[2:])}
		if err := os.WriteFile(anchor, []byte(key.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		// Not a CNAME by a DNAME, which drill wants a signature of, and no empty non-terminal, which it takes for a missing name.
		for _, q := range []string{"www A", "www MX", "x.t HTTPS", "alias A", "nothing A", "sub DS"} {
			name, qtype, _ := strings.Cut(q, " ")
			out := counterpart.Output(t, "drill", "-S", "-k", anchor, "@127.0.0.1", "-p", port, name+".example.com", qtype)
			if !strings.Contains(out, ";; Chase successful") {
				t.Errorf("%s, %s:\n%s", denial, q, out)
			}
		}
	}
}

func delvAcceptsAnswers(t *testing.T, denial string) {
	built := answertest.Build(t, strings.Replace(signedConfig, "DENIAL", denial, 1), signedZone)
	set, ok := built.Signing.Zones[0].ApexSet(dns.TypeDNSKEY)
	if !ok {
		t.Fatal("no DNSKEY set")
	}
	delvAccepts(t, built, set.Data[2:], []validated{
		{"www", "A", positive},
		{"www", "AAAA", positive},
		{"www", "TXT", negative},
		{"x.t", "HTTPS", positive},
		{"txt", "TXT", positive},
		{"alias", "A", positive},
		{"x.tree", "A", positive},
		{"nothing", "A", negative},
		{"ent", "A", negative},
		{"y.t", "MX", negative},
		{"sub", "DS", negative},
	})
	if made := built.Signing.Zones[0].KeyTags(dns.TypeA); len(made) != 1 {
		t.Errorf("keys %v, want one CSK", made)
	}
}

// trustAnchor returns a trust anchor for delv with a DNSKEY record of example.com.
func trustAnchor(rdata []byte) []byte {
	return fmt.Appendf(nil, "trust-anchors { example.com. static-key %d %d %d %q; };\n", uint16(rdata[0])<<8|uint16(rdata[1]), rdata[2], rdata[3], base64.StdEncoding.EncodeToString(rdata[4:]))
}
