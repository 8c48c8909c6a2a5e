package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"

	"meridian/dnsname"
)

// minimalConfig completes a configuration of a few lines.
const minimalConfig = `
zones:
  example.com: {file: example.com.zone}
`

// parse reads a valid configuration.
func parse(t testing.TB, document string) *Config {
	t.Helper()
	cfg, _, err := Parse("config.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDefaults(t *testing.T) {
	cfg := parse(t, `
regions:
  us: {location: [39, -77]}
checks:
  h: {type: http}
  s: {type: https}
  t: {type: tcp, port: 25}
pools:
  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names:
      www: {pool: web}
`)
	ok, warn := []StatusRange{{200, 299}}, CheckTLS{WarnDays: 14}
	want := &Config{
		File:    "config.yaml",
		Latency: Latency{Reload: 10 * time.Second, Samples: 10, Tolerance: 5 * time.Millisecond, Alpha: 100},
		Metrics: Metrics{Detail: MemberDetail, MaxSeries: 50_000}, QueryLog: QueryLog{Sample: 1}, DNSSEC: DNSSEC{Cache: 64 << 20},
		Server: Server{
			Listen:    []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53"), netip.MustParseAddrPort("[::]:53")},
			UDPSize:   1232,
			ECS:       true,
			TCP:       TCP{Idle: 10 * time.Second, Max: 4096, PerClient: 128},
			HTTPS:     ListenHTTPS{Path: "/dns-query"},
			Encrypted: Encrypted{Max: 4096, PerClient: 64, Streams: 100, Idle: 30 * time.Second, Query: 5 * time.Second},
			RateLimit: RateLimit{Instant: 2500, Slip: 1},
			Top:       Top{Enabled: true, Flood: 1000},
		},
		Geo:     Geo{Default: "us", MaxAccuracyRadius: 500},
		Regions: []Region{{Name: "us", Location: Location{39, -77}, Pos: Pos{3, 3}}},
		Checks: []Check{
			{Name: "h", Type: HTTP, Port: 80, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Failback: AutoFailback, Method: "GET", Path: "/", Status: ok, TLS: warn, Pos: Pos{5, 3}},
			{Name: "s", Type: HTTPS, Port: 443, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Failback: AutoFailback, Method: "GET", Path: "/", Status: ok, Secure: true, TLS: warn, Pos: Pos{6, 3}},
			{Name: "t", Type: TCPConnect, Port: 25, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Failback: AutoFailback, TLS: warn, Pos: Pos{7, 3}},
		},
		Pools: []Pool{{
			Name: "web", Policy: Weighted, Answers: 1, MinUp: MinUp{N: 1}, FailOpen: Remaining, OnDown: Widen, DualStack: Independent, Hash: Mask{IPv4: 24, IPv6: 48}, Pos: Pos{9, 3},
			Members: []Member{{Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Weight: 1, Enabled: true, Pos: Pos{9, 37}}},
		}},
		Zones: []Zone{{
			Name: "example.com.", Contact: "hostmaster.example.com.", TTL: 30, NegativeTTL: 30, Pos: Pos{11, 3}, Family: StrictFamily, Transfer: Transfer{Pools: DefaultPools}, Journal: Journal{Size: 16 << 20, Depth: 100},
			Nameservers: []Nameserver{{Name: "ns1.example.net.", Pos: Pos{12, 19}}},
			Names:       []BalancedName{{Name: "www.example.com.", Pool: "web", TTL: 30, Answers: 1, Pos: Pos{15, 7}}},
		}},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got\n%+v\nwant\n%+v", cfg, want)
	}
}

func TestCookiesAndRateLimitAreDecoded(t *testing.T) {
	cfg := parse(t, "server:\n"+
		"  cookies: {secret_file: /etc/cookie.secrets, require: true}\n"+
		"  udp_size_without_cookie: 600\n"+
		"  rate_limit: {rate: 1, instant: 2, slip: 3, exempt: [192.0.2.0/24], dry_run: true}\n"+minimalConfig)
	if want := (Cookies{SecretFile: "/etc/cookie.secrets", SecretFilePos: Pos{2, 26}, Require: true}); cfg.Server.Cookies != want {
		t.Errorf("cookies %+v, want %+v", cfg.Server.Cookies, want)
	}
	if cfg.Server.UDPSizeWithoutCookie != 600 {
		t.Errorf("udp_size_without_cookie %d", cfg.Server.UDPSizeWithoutCookie)
	}
	want := RateLimit{Rate: 1, Instant: 2, Slip: 3, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, DryRun: true}
	if !reflect.DeepEqual(cfg.Server.RateLimit, want) {
		t.Errorf("rate_limit %+v, want %+v", cfg.Server.RateLimit, want)
	}
}

func TestTopIsDecoded(t *testing.T) {
	cfg := parse(t, "server: {top: {enabled: false, flood: 0}}\n"+minimalConfig)
	if cfg.Server.Top != (Top{}) {
		t.Errorf("top %+v", cfg.Server.Top)
	}
}

func TestEveryKeyIsDecoded(t *testing.T) {
	cfg := parse(t, `
server:
  listen: ["127.0.0.1:0", "[::1]:0"]
  workers: 3
  nsid: ams1
  version: 1.10
  udp_size: 512
  ecs: false
  tcp: {idle: 1m30s, max: 5, per_client: 2}
geo:
  database: geo/City.mmdb
  asn: /var/ASN.mmdb
  default: eu
  networks:
    10.0.0.0/8: {region: us}
    192.0.2.1/32: {country: no}
    "2001:db8::/32": {location: [-1.5, 2]}
    0.0.0.0/0: {continent: eu}
    "::/0": {subdivision: us-ca}
regions:
  us: {location: [39.04, -77.49]}
  eu: {location: [53.35, -6.26], bias: -99}
checks:
  h:
    type: https
    port: 8443
    interval: 100ms
    timeout: 100ms
    rise: 1
    fall: 1
    confirm: 50ms
    flap_damping: {turns: 3, window: 5m, hold: 30s, max: 1m}
    hold_down: 5m
    failback: manual
    slow_start: 2m
    method: POST
    path: /healthz?full=1
    host: www.example.com
    headers: {user-agent: probe, X-Key: "a: b"}
    status: [200, 300-399]
    body: ^ok$
    follow_redirects: true
    http2: true
    tls: {ca: ca.pem, cert: c.pem, key: k.pem, server_name: a.example, insecure: true, warn_days: 30}
  t: {type: tcp, port: 25, send: "EHLO\r\n", expect: "^2.."}
pools:
  web:
    policy: proximity
    check: h
    answers: 0
    min_up: 50%
    fallback: spare
    fail_open: never
    members:
      - {name: a, region: us, addresses: [192.0.2.1, "2001:db8::1"], weight: 0}
      - {name: b, region: eu, addresses: [192.0.2.2], check: t, enabled: false}
      - {name: c, region: eu, addresses: [192.0.2.3], check: none}
      - {name: d, region: eu, pool: spare, weight: 1000000}
  spare: {policy: failover, min_up: 1, members: [{name: a, addresses: [127.0.0.1]}]}
zones:
  example.com:
    nameservers: {ns1.example.com: [192.0.2.53], ns2.example.net: []}
    contact: first.last@example.com
    ttl: 0
    negative_ttl: 2147483647
    file: zones/example.com.zone
    names:
      "@": {pool: web}
      "*.t": {pool: spare, ttl: 5, answers: 2}
`)
	check := cfg.Checks[0]
	check.Body = nil
	got := []any{cfg.Server, cfg.Geo.Database, cfg.Geo.ASN, cfg.Geo.Default, check, cfg.Checks[0].Body.String(), cfg.Checks[1].Send, cfg.Checks[1].Expect.String(), cfg.Zones[0]}
	want := []any{
		Server{
			Listen:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::1]:0")},
			Workers: 3, NSID: "ams1", Version: "1.10", UDPSize: 512,
			HTTPS:     ListenHTTPS{Path: "/dns-query"},
			Encrypted: Encrypted{Max: 4096, PerClient: 64, Streams: 100, Idle: 30 * time.Second, Query: 5 * time.Second},
			RateLimit: RateLimit{Instant: 2500, Slip: 1}, // see TestCookiesAndRateLimitAreDecoded
			Top:       Top{Enabled: true, Flood: 1000},   // see TestTopIsDecoded
			TCP:       TCP{Idle: 90 * time.Second, Max: 5, PerClient: 2},
		},
		"geo/City.mmdb", "/var/ASN.mmdb", "eu",
		Check{
			Name: "h", Type: HTTPS, Port: 8443, Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1, Confirm: 50 * time.Millisecond,
			FlapDamping: FlapDamping{Turns: 3, Window: 5 * time.Minute, Hold: 30 * time.Second, Max: time.Minute},
			HoldDown:    5 * time.Minute, Failback: ManualFailback, SlowStart: 2 * time.Minute,
			Method: "POST", Path: "/healthz?full=1", Host: "www.example.com",
			Headers:         []Header{{"User-Agent", "probe"}, {"X-Key", "a: b"}},
			Status:          []StatusRange{{200, 200}, {300, 399}},
			FollowRedirects: true, HTTP2: true, Secure: true,
			TLS: CheckTLS{CA: "ca.pem", CAPos: Pos{44, 15}, Cert: "c.pem", CertPos: Pos{44, 29}, Key: "k.pem", ServerName: "a.example", Insecure: true, WarnDays: 30},
			Pos: Pos{24, 3},
		},
		"^ok$", "EHLO\r\n", "^2..",
		Zone{
			Name: "example.com.", Contact: `first\.last.example.com.`, NegativeTTL: 1<<31 - 1,
			File: "zones/example.com.zone", FilePos: Pos{66, 11}, Pos: Pos{61, 3}, Family: StrictFamily, Transfer: Transfer{Pools: DefaultPools}, Journal: Journal{Size: 16 << 20, Depth: 100},
			Nameservers: []Nameserver{
				{Name: "ns1.example.com.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Pos: Pos{62, 19}},
				{Name: "ns2.example.net.", Pos: Pos{62, 50}},
			},
			Names: []BalancedName{
				{Name: "example.com.", Pool: "web", Pos: Pos{68, 7}},
				{Name: "*.t.example.com.", Pool: "spare", TTL: 5, Answers: 2, Pos: Pos{69, 7}},
			},
		},
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got\n%+v\nwant\n%+v", got[i], want[i])
		}
	}
	networks := []Network{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Region: "us", Pos: Pos{15, 5}},
		{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Country: "NO", Pos: Pos{16, 5}},
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Location: &Location{-1.5, 2}, Pos: Pos{17, 5}},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Continent: "EU", Pos: Pos{18, 5}},
		{Prefix: netip.MustParsePrefix("::/0"), Subdivision: "US-CA", Pos: Pos{19, 5}},
	}
	if !reflect.DeepEqual(cfg.Geo.Networks, networks) {
		t.Errorf("networks %+v, want %+v", cfg.Geo.Networks, networks)
	}
	web := cfg.Pools[0]
	if web.Fallback != "spare" || web.FailOpen != NeverOpen || web.Answers != 0 || web.MinUp != (MinUp{N: 50, Percent: true}) {
		t.Errorf("pool %+v", web)
	}
}

func TestMemberInheritsThePoolsCheck(t *testing.T) {
	cfg := parse(t, `
checks: {a: {type: http}, b: {type: http}}
pools:
  p:
    policy: weighted
    members:
      - {name: own, addresses: [192.0.2.1], check: b}
      - {name: none, addresses: [192.0.2.2], check: none}
      - {name: inherited, addresses: [192.0.2.3]}
      - {name: pool, pool: q}
    check: a
  q: {policy: weighted, check: none, members: [{name: x, addresses: [192.0.2.4]}]}
`)
	var got []string
	for _, m := range cfg.Pools[0].Members {
		got = append(got, m.Check)
	}
	if want := []string{"b", "", "a", ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("checks %q, want %q", got, want)
	}
}

func TestKeysMayBeInAnyOrder(t *testing.T) {
	cfg := parse(t, `
zones:
  example.com:
    names:
      www: {pool: web}
      api: {answers: 3, pool: web}
    file: x.zone
    ttl: 7
pools:
  web: {members: [{name: a, addresses: [192.0.2.1]}], min_up: 1, answers: 2, policy: weighted}
checks:
  s: {status: 204, timeout: 9s, interval: 10s, type: https}
`)
	www, api := cfg.Zones[0].Names[0], cfg.Zones[0].Names[1]
	if www.TTL != 7 || www.Answers != 2 || api.Answers != 3 {
		t.Errorf("www %+v, api %+v", www, api)
	}
	if c := cfg.Checks[0]; c.Port != 443 || c.Timeout != 9*time.Second {
		t.Errorf("check %+v", c)
	}
}

func TestShortIntervalShortensTheDefaultTimeout(t *testing.T) {
	cfg := parse(t, "checks: {a: {type: http, interval: 500ms}}")
	if got := cfg.Checks[0].Timeout; got != 500*time.Millisecond {
		t.Errorf("timeout %s, want 500ms", got)
	}
}

func TestAliasesAndMergeKeys(t *testing.T) {
	cfg := parse(t, `
checks:
  a: &base {type: http, path: /a, interval: 1s}
  b: {<<: *base, path: /b}
  c:
    <<: [{path: /c}, *base]
pools:
  p: {policy: weighted, members: &m [{name: x, addresses: [192.0.2.1]}]}
  q: {policy: failover, members: *m}
`)
	var got []string
	for _, c := range cfg.Checks {
		got = append(got, fmt.Sprint(c.Name, c.Path, c.Interval))
	}
	if want := []string{"a/a1s", "b/b1s", "c/c1s"}; !reflect.DeepEqual(got, want) {
		t.Errorf("checks %q, want %q", got, want)
	}
	if !reflect.DeepEqual(cfg.Pools[0].Members, cfg.Pools[1].Members) {
		t.Errorf("pools %+v", cfg.Pools)
	}
}

func TestRootZone(t *testing.T) {
	cfg := parse(t, `
pools: {p: {policy: weighted, members: [{name: x, addresses: [192.0.2.1]}]}}
zones:
  .:
    nameservers: {ns: [192.0.2.53]}
    contact: a@b
    names: {"@": {pool: p}, www.example.com: {pool: p}, "*": {pool: p}}
`)
	z := cfg.Zones[0]
	var names []dnsname.Name
	for _, b := range z.Names {
		names = append(names, b.Name)
	}
	if want := []dnsname.Name{".", "www.example.com.", "*."}; z.Name != "." || !reflect.DeepEqual(names, want) {
		t.Errorf("zone %q, names %q, want %q", z.Name, names, want)
	}
}

func TestByteOrderMarksAndLineBreaks(t *testing.T) {
	for name, document := range map[string]string{
		"byte order mark":  "\ufeffserver: {workers: 2}\n",
		"CRLF":             "server:\r\n  workers: 2\r\n",
		"CR":               "server:\r  workers: 2\r",
		"no final newline": "server: {workers: 2}",
		"JSON":             `{"server": {"workers": 2}}`,
		"document marks":   "%YAML 1.1\n---\nserver: {workers: 2}\n...\n",
	} {
		if cfg := parse(t, document); cfg.Server.Workers != 2 {
			t.Errorf("%s: %+v", name, cfg.Server)
		}
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	cfg, _, err := Parse("/etc/meridian/config.yaml", []byte("geo: {database: ../geo/City.mmdb, asn: /srv/ASN.mmdb}"+minimalConfig))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{cfg.Geo.Database, cfg.Geo.ASN, cfg.Zones[0].File}
	if want := []string{"/etc/geo/City.mmdb", "/srv/ASN.mmdb", "/etc/meridian/example.com.zone"}; !reflect.DeepEqual(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
}

func TestErrorHasAnErrorForEachLine(t *testing.T) {
	_, _, err := Parse("c.yaml", []byte("server:\n  workers: -1\n  ecs: 2\n"))
	var errs *multierror.Error
	if !errors.As(err, &errs) || len(errs.Errors) != 2 {
		t.Fatalf("error %v", err)
	}
	want := Error{File: "c.yaml", Pos: Pos{3, 8}, Path: "server.ecs", What: `"2" is neither true nor false`}
	if errs.Errors[1] != want {
		t.Errorf("error %#v, want %#v", errs.Errors[1], want)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 2 {
		t.Errorf("printed as %q", err.Error())
	}
	if Join(nil) != nil {
		t.Error("an error without entries")
	}
}

func TestWarningsAreReturnedWithAnError(t *testing.T) {
	_, warnings, err := Parse("c.yaml", []byte("server: {workers: x}\npools: {p: {policy: weighted, members: [{name: a, addresses: [192.0.2.1, 192.0.2.1]}]}}\n"))
	if err == nil || len(warnings) != 1 {
		t.Errorf("warnings %v, error %v", warnings, err)
	}
}

// expectOneError fails unless err is one error of one line that matches.
func expectOneError(t *testing.T, err error, pattern string) {
	t.Helper()
	var errs *multierror.Error
	if !errors.As(err, &errs) || len(errs.Errors) != 1 || strings.Contains(err.Error(), "\n") ||
		!regexp.MustCompile(pattern).MatchString(err.Error()) {
		t.Errorf("error %v, want one line matching %s", err, pattern)
	}
}

func TestInvalidDocumentIsOneError(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"NUL byte", "server: {}\nx: \x00", `^f:2:4: a NUL byte: not a text file; a configuration is YAML in UTF-8$`},
		{"UTF-16", "\xff\xfes\x00e\x00", `^f:1:1: byte 0xff is not UTF-8`},
		{"Latin-1", "server: {nsid: caf\xe9}", `^f:1:19: byte 0xe9 is not UTF-8`},
		{"ELF", "\x7fELF\x02", `^f:1:1: a control character \(0x7f\)`},
		{"gzip", "\x1f\x8b\x08", `^f:1:1: a control character \(0x1f\)`},
		{"deep nesting", strings.Repeat("[", 100_000), `^f:1:1: invalid YAML: exceeded max depth of 10000$`},
		{"deep aliases", bomb(26), `aliases make the document more than 10 times as large`},
		{"wide aliases", "a: &a [" + strings.Repeat("x,", 1000) + "]\nb: [" + strings.Repeat("*a,", 1000) + "]", `^f:2:\d+: aliases make`},
		{"merge bomb", mergeBomb(20), `aliases make the document`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Parse("f", []byte(test.data))
			expectOneError(t, err, test.want)
		})
	}
}

// bomb returns "billion laughs": each line is ten times the one before.
func bomb(lines int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 x\n")
	for i := range lines {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 10))
	}
	return b.String()
}

// mergeBomb merges each mapping twice into the next.
func mergeBomb(lines int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 {x: 1}\n")
	for i := range lines {
		fmt.Fprintf(&b, "a%d: &a%d {<<: [*a%d, *a%d], x%d: *a%d}\n", i+1, i+1, i, i, i, i)
	}
	return b.String()
}

func TestUnreadableFileIsOneError(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 10<<30); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, file, want string }{
		{"missing", filepath.Join(dir, "none.yaml"), `none.yaml: cannot be read: no such file or directory$`},
		{"directory", t.TempDir(), `: the directory has no \*.yaml file; a configuration is in files whose names end in .yaml$`},
		{"huge", huge, `huge.yaml: is longer than 1 GiB, the limit of a configuration$`},
		{"no name", "", `^: cannot be read: no such file or directory$`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Load(test.file)
			expectOneError(t, err, test.want)
		})
	}
}

func TestEndlessDeviceIsRejected(t *testing.T) {
	const device = "/dev/zero"
	if _, err := os.Stat(device); err != nil {
		t.Skip(err)
	}
	_, _, err := Load(device)
	expectOneError(t, err, "^/dev/zero:1:1: a NUL byte: not a text file")
}

func TestManyErrorsAreReportedInFull(t *testing.T) {
	const names = 20_000
	var b strings.Builder
	b.WriteString("pools:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  pool%d: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}\n", i)
	}
	b.WriteString("zones:\n  example.com:\n    file: x\n    names:\n")
	for i := range names {
		fmt.Fprintf(&b, "      n%d: {pool: pol%d}\n", i, i)
	}
	_, _, err := Parse("f", []byte(b.String()))
	var errs *multierror.Error
	if !errors.As(err, &errs) || len(errs.Errors) != names {
		t.Fatalf("not %d errors", names)
	}
}

func TestExampleIsValid(t *testing.T) {
	_, warnings, err := Load("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].What, "no IPv6 address") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestErrorsBeyondTheLimitAreCounted(t *testing.T) {
	document := strings.ReplaceAll(string(manyNames(maxListed+7)), "pool: web", "pool: wob")
	_, _, err := Parse("f", []byte(document))
	var errs *multierror.Error
	if !errors.As(err, &errs) || len(errs.Errors) != maxListed+1 {
		t.Fatal("not the errors up to the limit and one more")
	}
	if got := errs.Errors[maxListed].Error(); got != "f: 7 more errors; correct these first" {
		t.Errorf("last %q", got)
	}
}

func TestEncryptedTransportsAreDecoded(t *testing.T) {
	cfg := parse(t, "server:\n"+
		"  listen_tls: [\"192.0.2.1:853\"]\n"+
		"  listen_quic: [\"192.0.2.2:853\"]\n"+
		"  tls: {certificates: [{cert: /a.pem, key: /a.key}], ticket_secret_file: /t.key}\n"+
		"  listen_https: {addresses: [\"192.0.2.1:443\"], path: /x, http3: true}\n"+
		"  encrypted: {max: 1, per_client: 2, streams: 5, idle: 3s, query: 4s, early_data: true}\n"+minimalConfig)
	s := &cfg.Server
	if want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:853")}; !slices.Equal(s.ListenTLS, want) {
		t.Errorf("listen_tls %v", s.ListenTLS)
	}
	if want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:853")}; !slices.Equal(s.ListenQUIC, want) {
		t.Errorf("listen_quic %v", s.ListenQUIC)
	}
	if !s.HTTPS.HTTP3 {
		t.Error("no HTTP/3")
	}
	want := ServerTLS{Certificates: []Certificate{{"/a.pem", "/a.key", Pos{4, 24}}}, TicketSecretFile: "/t.key", TicketSecretPos: Pos{4, 74}}
	if !reflect.DeepEqual(s.TLS, want) {
		t.Errorf("tls %+v, want %+v", s.TLS, want)
	}
	if want := (Encrypted{Max: 1, PerClient: 2, Streams: 5, Idle: 3 * time.Second, Query: 4 * time.Second, EarlyData: true}); s.Encrypted != want {
		t.Errorf("encrypted %+v, want %+v", s.Encrypted, want)
	}
}
