package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const transferConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1}
tsig: {xfr: {secret_file: KEY}, other: {secret_file: KEY}}
regions: {us: {location: [39, -77]}, eu: {location: [53, -6]}}
geo: {default: eu}
pools:
  web:
    policy: proximity
    members:
      - {name: us, region: us, addresses: [192.0.2.1]}
      - {name: eu, region: eu, addresses: [198.51.100.1, "2001:db8::1"]}
  names: {policy: weighted, members: [{name: cdn, cname: cdn.example.net}]}
  six: {policy: failover, members: [{name: a, addresses: [192.0.2.9, "2001:db8::9"]}]}
  mail: {policy: failover, members: [{name: one, records: {MX: ["10 ns1"], SRV: ["1 2 443 txt.example.com."]}}]}
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: web, ttl: 20, https: {alpn: [h2]}}, "*.any": {pool: names}, "@": {pool: web}, mail: {pool: mail}, split: {pool: {A: web, AAAA: six}}}
    transfer: {out: [{addresses: [127.0.0.1], key: xfr}]}
  sub.example.com:
    nameservers: {ns1.sub.example.com: [192.0.2.53]}
    contact: host@example.com
    transfer: {pools: refuse, out: [{addresses: [127.0.0.1]}]}
  refused.example.com:
    nameservers: {ns.example.net: []}
    contact: host@example.com
    names: {www: {pool: web}}
    transfer: {pools: refuse, out: [{addresses: [127.0.0.1]}]}
  secret.example.com:
    nameservers: {ns.example.net: []}
    contact: host@example.com
`

const transferZone = `$TTL 300
@ SOA ns1 host 7 7200 3600 604800 60
@ NS ns1
ns1 A 127.0.0.1
txt TXT "hello"
cut NS ns.cut
ns.cut A 192.0.2.99
sub NS ns1.sub
`

// transferred holds the records of example.com that a transfer of transferConfig has.
const transferred = `
*.any.example.com.	30	IN	CNAME	cdn.example.net.
cut.example.com.	300	IN	NS	ns.cut.example.com.
example.com.	30	IN	A	198.51.100.1
example.com.	30	IN	AAAA	2001:db8::1
example.com.	300	IN	NS	ns1.example.com.
example.com.	300	IN	SOA	ns1.example.com. host.example.com. 7 7200 3600 604800 60
mail.example.com.	30	IN	MX	10 ns1.example.com.
mail.example.com.	30	IN	SRV	1 2 443 txt.example.com.
ns.cut.example.com.	300	IN	A	192.0.2.99
ns1.example.com.	300	IN	A	127.0.0.1
ns1.sub.example.com.	3600	IN	A	192.0.2.53
refused.example.com.	3600	IN	NS	ns.example.net.
secret.example.com.	3600	IN	NS	ns.example.net.
split.example.com.	30	IN	A	198.51.100.1
split.example.com.	30	IN	AAAA	2001:db8::9
sub.example.com.	3600	IN	NS	ns1.sub.example.com.
txt.example.com.	300	IN	TXT	"hello"
www.example.com.	20	IN	A	198.51.100.1
www.example.com.	20	IN	AAAA	2001:db8::1
www.example.com.	20	IN	HTTPS	1 . alpn="h2" ipv4hint="198.51.100.1" ipv6hint="2001:db8::1"
`

// transferWorld builds the snapshot of transferConfig.
func transferWorld(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(tsigSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	return answertest.Build(t, strings.ReplaceAll(transferConfig, "KEY", file), transferZone)
}

// asked is a request for a transfer.
type asked struct {
	zone   string
	key    string // empty: not signed
	serial uint32 // of an IXFR; 0: AXFR
}

func (a asked) message() *dns.Msg {
	msg := new(dns.Msg).SetAxfr(a.zone)
	if a.serial > 0 {
		msg = new(dns.Msg).SetIxfr(a.zone, a.serial, "ns1.", "host.")
	}
	if a.key != "" {
		msg.SetTsig(a.key, dns.HmacSHA256, 300, time.Now().Unix())
	}
	return msg
}

// fetch returns the records of a transfer, sorted and without the SOA at its end.
func fetch(t *testing.T, server string, a asked) ([]string, error) {
	t.Helper()
	client := new(dns.Transfer)
	if a.key != "" { // with secrets, it wants every answer signed
		client.TsigSecret = map[string]string{a.key: tsigSecret}
	}
	envelopes, err := client.In(a.message(), server)
	if err != nil {
		return nil, err
	}
	var all []string
	for e := range envelopes {
		if err = e.Error; err != nil {
			return nil, err
		}
		for _, rr := range e.RR {
			all = append(all, rr.String())
		}
	}
	if len(all) > 1 && all[0] == all[len(all)-1] {
		all = all[:len(all)-1]
	}
	slices.Sort(all)
	return all, nil
}

func TestTransferIsTheZoneWithDefaultAnswers(t *testing.T) {
	s := serve(t, transferWorld(t), false, "127.0.0.1:0")
	server := s.Addrs()[0].String()
	want := strings.Split(strings.TrimSpace(transferred), "\n")
	for _, serial := range []uint32{0, 6} {
		got, err := fetch(t, server, asked{"example.com.", "xfr.", serial})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("serial %d: %v\n%s", serial, err, strings.Join(got, "\n"))
		}
	}
	for _, serial := range []uint32{7, 8} {
		got, err := fetch(t, server, asked{"example.com.", "xfr.", serial})
		if err != nil || len(got) != 1 || !strings.Contains(got[0], "SOA") {
			t.Errorf("IXFR by a client with serial %d: %v, %q", serial, err, got)
		}
	}
	counterpart.Await(t, func() error { // counted after the last message is sent
		if n := s.Counters().TransfersSent; n != 2 {
			return fmt.Errorf("%d transfers counted, want 2", n)
		}
		return nil
	})
}

func TestTransfersWithoutAMatchingRuleAreRefused(t *testing.T) {
	s := serve(t, transferWorld(t), false, "127.0.0.1:0")
	server := s.Addrs()[0].String()
	for name, a := range map[string]asked{
		"no key":              {"example.com.", "", 0},
		"another key":         {"example.com.", "other.", 0},
		"IXFR without a key":  {"example.com.", "", 6},
		"no rules":            {"secret.example.com.", "xfr.", 0},
		"pools: refuse":       {"refused.example.com.", "xfr.", 0},
		"below a zone":        {"www.example.com.", "xfr.", 0},
		"not our zone":        {"example.org.", "xfr.", 0},
		"not our zone, above": {"com.", "xfr.", 0},
	} {
		if got, err := fetch(t, server, a); err == nil || len(got) > 0 {
			t.Errorf("%s: %v, %q", name, err, got)
		}
		client := &dns.Client{Timeout: time.Minute, TsigSecret: map[string]string{"xfr.": tsigSecret, "other.": tsigSecret}}
		answer, _, err := client.Exchange(a.message(), server) // by UDP
		if err != nil || answer.Rcode != dns.RcodeRefused {
			t.Errorf("%s, by UDP: %v, %v", name, err, answer)
		}
	}
	if got, err := fetch(t, server, asked{zone: "sub.example.com."}); err != nil || len(got) != 3 {
		t.Errorf("pools: refuse without balanced names: %v, %q", err, got)
	}
	client := &dns.Client{Timeout: time.Minute, TsigSecret: map[string]string{"xfr.": tsigSecret}}
	for serial, rcode := range map[uint32]int{0: dns.RcodeRefused, 6: dns.RcodeSuccess} {
		answer, _, err := client.Exchange(asked{"example.com.", "xfr.", serial}.message(), server)
		if err != nil || answer.Rcode != rcode || rcode == dns.RcodeSuccess && len(answer.Answer) != 1 {
			t.Errorf("by UDP, serial %d: %v, %v", serial, err, answer)
		}
	}
}

// TestQueriesAroundATransferAreAnswered pipelines a query, a transfer and another query.
func TestQueriesAroundATransferAreAnswered(t *testing.T) {
	s := serve(t, transferWorld(t), false, "127.0.0.1:0")
	raw, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	conn := &dns.Conn{Conn: raw}
	defer conn.Close()
	var sent []uint16
	for _, msg := range []*dns.Msg{new(dns.Msg).SetQuestion("txt.example.com.", dns.TypeTXT), asked{zone: "sub.example.com."}.message(), new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)} {
		sent = append(sent, msg.Id)
		if err := conn.WriteMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{1, 4, 1} {
		answer, err := conn.ReadMsg()
		if err != nil || answer.Id != sent[i] || len(answer.Answer) != want {
			t.Fatalf("answer %d: %v, %v", i, err, answer)
		}
	}
}

// secondaries are programs that take example.com from a primary at port %[1]d and serve it at port %[2]d. In %[3]s they may
// keep files.
var secondaries = map[string]struct {
	conf string
	args []string
}{
	"named": {`options { directory "%[3]s"; pid-file none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; empty-zones-enable no; };
controls { };
key xfr { algorithm hmac-sha256; secret "` + tsigSecret + `"; };
zone example.com { type secondary; file "copy"; masterfile-format text; allow-transfer { 127.0.0.1; }; primaries { 127.0.0.1 port %[1]d key xfr; }; };
`, []string{"-g", "-c"}},
	"nsd": {`server:
  ip-address: 127.0.0.1@%[2]d
  pidfile: ""
  username: ""
  chroot: ""
  zonesdir: "%[3]s"
  xfrdfile: "%[3]s/xfrd"
  zonelistfile: "%[3]s/zones"
  xfrdir: "%[3]s"
  database: ""
remote-control:
  control-enable: no
key:
  name: xfr
  algorithm: hmac-sha256
  secret: "` + tsigSecret + `"
zone:
  name: example.com
  zonefile: copy
  request-xfr: AXFR 127.0.0.1@%[1]d xfr
  provide-xfr: 127.0.0.1 NOKEY
`, []string{"-d", "-c"}},
	"knotd": {`server:
    listen: 127.0.0.1@%[2]d
    rundir: "%[3]s"
database:
    storage: "%[3]s"
key:
  - id: xfr
    algorithm: hmac-sha256
    secret: ` + tsigSecret + `
remote:
  - id: primary
    address: 127.0.0.1@%[1]d
    key: xfr
acl:
  - id: all
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.com
    storage: "%[3]s"
    master: primary
    acl: all
`, []string{"-c"}},
}

// TestSecondariesTakeTheZone has the name servers of other projects take the zone, and compares what they then send.
func TestSecondariesTakeTheZone(t *testing.T) {
	for program, p := range secondaries {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			counterpart.Find(t, program)
			s := serve(t, transferWorld(t), false, "127.0.0.1:0")
			port := counterpart.FreePorts(t, 1)[0]
			counterpart.StartWith(t, program, fmt.Sprintf(p.conf, s.Addrs()[0].Port(), port, t.TempDir()), p.args...)
			want := strings.Split(strings.TrimSpace(transferred), "\n")
			counterpart.Await(t, func() error {
				got, err := fetch(t, fmt.Sprintf("127.0.0.1:%d", port), asked{zone: "example.com."})
				if err == nil && !slices.Equal(got, want) {
					return fmt.Errorf("it has\n%s", strings.Join(got, "\n"))
				}
				return err
			})
		})
	}
}
