// Package answertest builds snapshots and queries for the tests of the packages that answer and serve.
package answertest

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/geo"
	"meridian/snapshot"
)

// worldConfig and worldZone are a small configuration with one of each outcome.
const worldConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1, nsid: test, version: "meridian \\ test"}
geo:
  networks:
    198.51.100.0/24: {region: us}
    198.51.100.128/25: {region: eu}
    203.0.113.0/24: {region: ap}
    2001:db8:1::/48: {region: eu}
    10.7.0.0/16: {region: ap}
regions:
  us: {location: [39.04, -77.49]}
  eu: {location: [53.35, -6.26]}
  ap: {location: [19.08, 72.88]}
pools:
  near:
    policy: proximity
    members:
      - {name: us, region: us, addresses: [192.0.2.1, "2001:db8::1"]}
      - {name: eu, region: eu, addresses: [192.0.2.2, "2001:db8::2"]}
      - {name: ap, region: ap, addresses: [192.0.2.3, "2001:db8::3"]}
  far:
    policy: weighted
    members:
      - {name: a, addresses: [192.0.2.11]}
      - {name: b, addresses: [192.0.2.12]}
  gone:
    policy: failover
    members:
      - {name: a, addresses: [192.0.2.21], enabled: false}
zones:
  example.com:
    file: example.com.zone
    ttl: 30
    names:
      "@": {pool: near}
      www: {pool: near}
      six.www: {pool: near}
      far: {pool: far}
      gone: {pool: gone}
      "*.t": {pool: near}
`

const worldZone = `
$ORIGIN example.com.
$TTL 300
@       IN SOA ns1 hostmaster 1 7200 3600 604800 60
@       NS  ns1
@       MX  10 mail
ns1     A   192.0.2.53
mail    A   192.0.2.25
mail    TXT "small"
text    TXT "a" "b"
big     TXT ` + "( " // completed by world

// World returns the snapshot of worldConfig, after edits (old, new pairs).
func World(t testing.TB, edits ...string) *snapshot.Snapshot {
	t.Helper()
	zone := worldZone + strings.Repeat(`"`+strings.Repeat("x", 200)+`" `, 10) + `)
alias   CNAME www
chain   CNAME alias
away    CNAME www.example.org.
loop    CNAME pool
pool    CNAME loop
dangle  CNAME nothing
tocut   CNAME a.sub
sub     NS  ns.sub
sub     NS  ns.example.net.
ns.sub  A   192.0.2.99
tree    DNAME near.t
over    DNAME ` + strings.Repeat(strings.Repeat("o", 60)+".", 3) + `
deep.er TXT "below an empty non-terminal"
*.wild  TXT "wild"
*.wc    CNAME www
`
	return Build(t, strings.NewReplacer(edits...).Replace(worldConfig), zone)
}

// Build compiles a configuration; its zone file, if any, is example.com.zone.
func Build(t testing.TB, yaml, zone string) *snapshot.Snapshot {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.com.zone"), []byte(zone), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(yaml))
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
	snapshot, _, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, yaml, zone)
	}
	t.Cleanup(func() { snapshot.Close() })
	return snapshot
}

// TestMain runs the tests of a package. It keeps the unpacked built-in geo table and the table of worldConfig in memory,
// for the snapshots of all tests to share.
func TestMain(m *testing.M) {
	cfg, _, err := config.Parse("meridian.yaml", []byte(worldConfig))
	if err != nil {
		panic(err)
	}
	where, err := geo.Open(cfg)
	if err != nil {
		panic(err)
	}
	if _, err := where.Table(cfg.Regions); err != nil {
		panic(err)
	}
	code := m.Run()
	runtime.KeepAlive(where)
	os.Exit(code)
}

// Packed returns a query in wire form.
func Packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// Ask returns a query without EDNS.
func Ask(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.RecursionDesired = false
	return m
}

// WithOptions adds an OPT record of 1232 octets with options to m.
func WithOptions(m *dns.Msg, options ...dns.EDNS0) *dns.Msg {
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = options
	return m
}

// RawOption returns an option with the given data.
func RawOption(code uint16, data ...byte) dns.EDNS0 { return &dns.EDNS0_LOCAL{Code: code, Data: data} }

// LoneZone is a zone file without data.
const LoneZone = `
@ SOA ns1.example.net. hostmaster.example.com. 7 14400 3600 604800 30
@ NS ns1.example.net.
`

// BenchSource is the source of queries.
var BenchSource = netip.MustParseAddr("198.51.100.7")

// BenchQueries returns one query for each outcome of the fast path.
func BenchQueries(t testing.TB) map[string][]byte {
	subnet := RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 203, 0, 113)
	return map[string][]byte{
		"Static":      Packed(t, Ask("mail.example.com.", dns.TypeA)),
		"Balanced":    Packed(t, Ask("www.example.com.", dns.TypeA)),
		"BalancedECS": Packed(t, WithOptions(Ask("www.example.com.", dns.TypeA), subnet)),
		"Wildcard":    Packed(t, WithOptions(Ask("a.b.t.example.com.", dns.TypeAAAA), subnet)),
		"NoData":      Packed(t, Ask("mail.example.com.", dns.TypeMX)),
		"NXDomain":    Packed(t, Ask("nothing.example.com.", dns.TypeA)),
		"Referral":    Packed(t, Ask("a.sub.example.com.", dns.TypeA)),
		"Alias":       Packed(t, Ask("alias.example.com.", dns.TypeA)),
		"Chain":       Packed(t, Ask("chain.example.com.", dns.TypeA)),
		"Loop":        Packed(t, Ask("loop.example.com.", dns.TypeA)),
		"Away":        Packed(t, Ask("away.example.com.", dns.TypeA)),
		"DName":       Packed(t, Ask("x.tree.example.com.", dns.TypeA)),
		"DNameOver":   Packed(t, Ask(strings.Repeat("l.", 40)+"over.example.com.", dns.TypeA)),
		"Refused":     Packed(t, Ask("www.example.org.", dns.TypeA)),
		"NewCookie":   Packed(t, WithOptions(Ask("www.example.com.", dns.TypeA), RawOption(dns.EDNS0COOKIE, 1, 2, 3, 4, 5, 6, 7, 8))),
		"BadCookie":   Packed(t, WithOptions(Ask("www.example.com.", dns.TypeA), RawOption(dns.EDNS0COOKIE, make([]byte, 24)...))),
		"Truncated":   Packed(t, Ask("big.example.com.", dns.TypeTXT)),
		"NSID":        Packed(t, WithOptions(Ask("www.example.com.", dns.TypeA), RawOption(dns.EDNS0NSID))),
	}
}

// SignedQueries returns queries with DO, one for each way to sign an answer.
func SignedQueries(t testing.TB) map[string][]byte {
	queries := map[string][]byte{}
	for name, m := range map[string]*dns.Msg{
		"Static":   Ask("mail.example.com.", dns.TypeA),
		"Balanced": Ask("www.example.com.", dns.TypeA),
		"HTTPS":    Ask("www.example.com.", dns.TypeHTTPS),
		"Wildcard": Ask("a.b.t.example.com.", dns.TypeAAAA),
		"NoData":   Ask("mail.example.com.", dns.TypeMX),
		"NXDomain": Ask("nothing.example.com.", dns.TypeA),
		"Referral": Ask("a.sub.example.com.", dns.TypeA),
		"Chain":    Ask("chain.example.com.", dns.TypeA),
		"DName":    Ask("x.tree.example.com.", dns.TypeA),
		"Keys":     Ask("example.com.", dns.TypeDNSKEY),
	} {
		m.SetEdns0(1232, true)
		queries[name] = Packed(t, m)
	}
	return queries
}

// Spread is a configuration with regions that report loads from URL, and shed. The clients of a lost region are spread over
// the others.
const Spread = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
geo: {networks: {11.0.0.0/8: {region: near}, 12.0.0.0/8: {region: mid}}}
loads:
  near: {type: json, url: "URL/", load: near, interval: 100ms, stale: 10s}
  mid: {type: json, url: "URL/", load: mid, interval: 100ms, stale: 10s}
  far: {type: json, url: "URL/", load: far, interval: 100ms, stale: 10s}
regions:
  near: {location: [39, -77], load: near, capacity: 200}
  mid: {location: [45, -70], load: mid, capacity: 100}
  far: {location: [60, 10], load: far, capacity: 1000}
pools:
  web:
    policy: proximity
    shed: {low: 70%, high: 90%}
    members:
      - {name: a, region: near, addresses: [127.0.0.81]}
      - {name: b, region: mid, addresses: [127.0.0.82]}
      - {name: c, region: far, addresses: [127.0.0.83]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`
