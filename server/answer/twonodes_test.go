package answer

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/server/answer/answertest"
	"meridian/server/limit"
	"meridian/snapshot"
)

// TestNodesWithEqualKeysGiveEqualOctets has a node that makes the keys, and one with a copy of them, answer the same
// queries over two slots of signatures: all answers are equal, octet by octet.
func TestNodesWithEqualKeysGiveEqualOctets(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first")
	second := filepath.Join(t.TempDir(), "second")
	a := node(t, first, "auto")
	copyKeys(t, filepath.Join(first, "keys"), filepath.Join(second, "keys"))
	b := node(t, second, "external")
	b.Cookies = a.Cookies
	draw, now := uint64(0), time.Now()
	var nodes [2]*Responder
	for i, s := range []*snapshot.Snapshot{a, b} {
		e := newEngine(s, func() uint64 { return draw })
		e.clock = func() time.Time { return now }
		nodes[i] = e.Responder()
	}
	made := generator{Rand: rand.New(rand.NewPCG(1, 2))}
	signed := 0
	for i := range 400 {
		if i == 200 {
			now = now.Add(a.Signing.Zones[0].Refresh())
		}
		draw = made.Uint64()
		query := made.nodeQuery(t)
		want, got := nodes[0].Respond(nil, query, answertest.BenchSource, true), nodes[1].Respond(nil, query, answertest.BenchSource, true)
		if !bytes.Equal(got, want) {
			t.Fatalf("query %x:\n%x from the node with the copy, want\n%x", query, got, want)
		}
		var answer dns.Msg
		if err := answer.Unpack(got); err != nil {
			t.Fatal(err)
		}
		for _, rr := range append(answer.Answer, answer.Ns...) {
			if rr.Header().Rrtype == dns.TypeRRSIG {
				signed++
			}
		}
	}
	if signed < 400 {
		t.Errorf("%d signatures in 400 answers, want one each at least", signed)
	}
}

// copyKeys copies a folder of keys, and keeps them private.
func copyKeys(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(to, "*", "*.private"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d private keys, %v", len(files), err)
	}
	for _, file := range files {
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// node builds a server's snapshot with keys in dir. Draws of three of eight members are bounded by variety.
func node(t *testing.T, dir, manager string) *snapshot.Snapshot {
	t.Helper()
	var members strings.Builder
	for _, host := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		members.WriteString("      - {name: m" + host + ", weight: " + host + ", addresses: [192.0.2." + host + ", \"2001:db8::" + host + "\"]}\n")
	}
	text := `
dnssec: {keys: keys, policies: {chain: {keys: ksk+zsk, algorithm: ed25519, denial: nsec, manager: ` + manager + `}, default: {manager: ` + manager + `}}}
pools:
  web:
    policy: weighted
    answers: 3
    members:
` + members.String() + `zones:
  example.com: {file: z.zone, dnssec: default, variety: 4, names: {www: {pool: web, https: {alpn: [h2]}}, "*.w": {pool: web}}}
  example.net: {file: z.zone, dnssec: chain, names: {www: {pool: web}}}
`
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "z.zone"), []byte(strings.Replace(answertest.LoneZone, "NS ns1.example.net", "NS ns1.example.org", 1)+"txt 300 TXT here\nalias 60 CNAME www\ncut 60 NS ns.example.org.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.Cookies = limit.NewCookies()
	return s
}

// nodeQuery returns a query with DO for a name of one of the zones of node.
func (m generator) nodeQuery(t *testing.T) []byte {
	t.Helper()
	name := pick(m, "www.", "x.w.", "txt.", "alias.", "a.cut.", "nothing.", "", "") + pick(m, "example.com.", "example.net.")
	query := answertest.Ask(name, pick(m, dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeTXT, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeDS))
	query.SetEdns0(1232, true)
	return answertest.Packed(t, query)
}
