package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

const signedTransferConfig = `
server: {listen: ["127.0.0.1:%[3]d"], workers: 1}
state: %[1]s/state
tsig: {xfr: {secret_file: %[1]s/key}}
dnssec: {keys: %[1]s/keys, policies: {default: {%[2]s}}}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}]}, cdn: {policy: weighted, members: [{name: a, cname: cdn.example.net}]}}
zones:
  example.com:
    file: %[1]s/zone
    dnssec: default
    names: {"@": {pool: web}, www: {pool: web, https: {alpn: [h2]}}, "*.w": {pool: cdn}}
    transfer: {sign: true, out: [{addresses: [127.0.0.0/8], key: xfr}], notify: [%[4]s]}
    update: [{key: xfr, names: ["*"]}]
`

const signedTransferZone = `$TTL 300
@ SOA ns.example.net. h 7 2 1 86400 60
@ NS ns.example.net.
a.b.c TXT hello
*.x MX 10 a
cut NS ns.cut
ns.cut A 192.0.2.99
sec NS ns.example.net.
sec DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
dn DNAME example.net.
`

// startSigned serves signedTransferConfig with keys of the policy, and notifies ports.
func startSigned(t *testing.T, policy string, notify ...int) *primary {
	t.Helper()
	p := &primary{dir: t.TempDir()}
	p.write(t, "key", ixfrSecret)
	p.write(t, "zone", signedTransferZone)
	if err := os.Mkdir(filepath.Join(p.dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, port := range notify {
		to = append(to, fmt.Sprintf(`"127.0.0.1:%d"`, port))
	}
	p.text = fmt.Sprintf(signedTransferConfig, p.dir, policy, counterpart.FreePorts(t, 1)[0], strings.Join(to, ", "))
	p.runningDaemon = start(t, p.text)
	return p
}

// serialOf returns the serial that a server has.
func serialOf(t testing.TB, server string) uint32 {
	t.Helper()
	answer, _, err := patient().Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA), server)
	if err != nil || len(answer.Answer) != 1 {
		t.Fatal(err, answer)
	}
	return answer.Answer[0].(*dns.SOA).Serial
}

// awaitSerial waits until a server has a serial above another one, and returns it.
func awaitSerial(t testing.TB, server string, above uint32) (serial uint32) {
	t.Helper()
	counterpart.Await(t, func() error {
		if serial = serialOf(t, server); serial <= above {
			return fmt.Errorf("the serial is %d", serial)
		}
		return nil
	})
	return serial
}

// update adds an address.
func (p *primary) update(t *testing.T, name string) {
	t.Helper()
	msg := new(dns.Msg).SetUpdate("example.com.")
	msg.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: []byte{192, 0, 2, 77}}})
	msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
	client := patient()
	client.TsigSecret = map[string]string{"xfr.": ixfrSecret}
	answer, _, err := client.Exchange(msg, p.listens(t))
	if err != nil || answer.Rcode != dns.RcodeSuccess {
		t.Fatal(err, answer)
	}
}

// TestSignedTransferHasDifferences changes a zone that is transferred with signatures by an update, and by a reload of another policy.
func TestSignedTransferHasDifferences(t *testing.T) {
	p := startSigned(t, "")
	server := p.listens(t)
	first := serialOf(t, server)
	whole := ixfr(t, server, "tcp", first-1)
	if n := strings.Count(strings.Join(whole, "\n"), "\tRRSIG\t"); n < 20 {
		t.Fatalf("%d signatures\n%s", n, strings.Join(whole, "\n"))
	}
	p.update(t, "k8s.example.com.")
	second := serialOf(t, server)
	// Besides the address: its signature, NSEC records of two names, one of which changes, and of the SOA, with their signatures.
	if got := ixfr(t, server, "tcp", first); second <= first || len(got) != 14 {
		t.Errorf("the difference after an update: %s", short(got))
	}
	if got := ixfr(t, server, "udp", second); len(got) != 1 {
		t.Errorf("of the present serial: %q", got)
	}
	p.reload(t, strings.Replace(p.text, "default: {}", "default: {validity: 5d}", 1))
	third := awaitSerial(t, server, second)
	if got := ixfr(t, server, "tcp", second); len(got) < 20 {
		t.Errorf("after a change of the policy: %q", got)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, p.text)
	if serial := serialOf(t, again.listens(t)); serial <= third {
		t.Errorf("serial %d after a restart, with other signatures; before it was %d", serial, third)
	}
}

// TestSerialRisesBeforeSignaturesEnd has signatures of seconds.
func TestSerialRisesBeforeSignaturesEnd(t *testing.T) {
	p := startSigned(t, "validity: 40s, refresh: 8s")
	server := p.listens(t)
	before := serialOf(t, server)
	_ = ixfr(t, server, "tcp", before-1)
	after := awaitSerial(t, server, before)
	if got := short(ixfr(t, server, "tcp", before)); !strings.Contains(got, "RRSIG") || strings.Contains(got, "TXT hello") || !strings.Contains(p.log.all(), "signatures published to secondaries") {
		t.Errorf("from serial %d to %d: %s", before, after, got)
	}
}

// signedSecondaries are programs that take example.com from a primary at port %[1]d and serve it at port %[2]d. In %[3]s they may keep files.
var signedSecondaries = map[string]struct {
	conf string
	args []string
}{
	"named": {`options { directory "%[3]s"; pid-file none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; empty-zones-enable no; };
controls { };
key xfr { algorithm hmac-sha256; secret "` + ixfrSecret + `"; };
zone example.com { type secondary; file "copy"; masterfile-format text; allow-notify { 127.0.0.1; }; allow-transfer { 127.0.0.1; }; primaries { 127.0.0.1 port %[1]d key xfr; }; };
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
  secret: "` + ixfrSecret + `"
zone:
  name: example.com
  zonefile: copy
  allow-notify: 127.0.0.1 xfr
  request-xfr: 127.0.0.1@%[1]d xfr
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
    secret: ` + ixfrSecret + `
remote:
  - id: primary
    address: 127.0.0.1@%[1]d
    key: xfr
acl:
  - id: all
    address: 127.0.0.1
    action: [transfer, notify]
  - id: notify
    address: 127.0.0.1
    key: xfr
    action: notify
zone:
  - domain: example.com
    storage: "%[3]s"
    master: primary
    acl: [all, notify]
`, []string{"-c"}},
}

// TestSecondariesServeValidAnswers has the name servers of other projects take a zone with signatures. A validating resolver accepts
// what they answer, before and after a change by IXFR, and after a key rollover has begun.
func TestSecondariesServeValidAnswers(t *testing.T) {
	t.Parallel()
	for program, s := range signedSecondaries {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			counterpart.Find(t, program)
			port := counterpart.FreePorts(t, 1)[0]
			p := startSigned(t, "keys: ksk+zsk, dnskey_ttl: 2s, publish_safety: 1s, retire_safety: 1s, validity: 60s, refresh: 20s, zsk_lifetime: 5s", port)
			server, secondary := p.listens(t), fmt.Sprintf("127.0.0.1:%d", port)
			var listens int
			_, _ = fmt.Sscanf(server, "127.0.0.1:%d", &listens)
			counterpart.StartWith(t, program, fmt.Sprintf(s.conf, listens, port, t.TempDir()), s.args...)
			verify := func(name, rrtype string, least uint32) (serial uint32) {
				t.Helper()
				counterpart.Await(t, func() (err error) {
					serial, err = p.verifySecondary(t, secondary, name, rrtype, least)
					return err
				})
				return serial
			}
			serial := verify("a.b.c.example.com.", "TXT", 0)
			p.update(t, "k8s.example.com.")
			serial = verify("k8s.example.com.", "A", serial+1)
			counterpart.Await(t, func() error {
				if tags := zoneKeyTags(t, secondary); len(tags) < 2 { // a rollover publishes the next key beside the present one
					return fmt.Errorf("the zone keys are %v", tags)
				}
				return nil
			})
			verify("k8s.example.com.", "A", serial+1)
			if !strings.Contains(p.log.all(), "type=ixfr") {
				t.Errorf("no transfer was incremental:\n%s", p.log.all())
			}
		})
	}
}

// zoneKeyTags returns the tags of the zone signing keys that a server has.
func zoneKeyTags(t *testing.T, server string) (tags []uint16) {
	t.Helper()
	answer, _, err := patient().Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeDNSKEY), server)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range answer.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok && k.Flags&dns.SEP == 0 {
			tags = append(tags, k.KeyTag())
		}
	}
	slices.Sort(tags)
	return tags
}

// verifySecondary takes the zone from a secondary, verifies all of it, and has a resolver validate answers. It returns the serial, which is to
// be least or higher.
func (p *primary) verifySecondary(t *testing.T, secondary, name, rrtype string, least uint32) (serial uint32, err error) {
	t.Helper()
	envelopes, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("example.com."), secondary)
	if err != nil {
		return 0, err
	}
	var rrs []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			return 0, e.Error
		}
		rrs = append(rrs, e.RR...)
	}
	if soa, ok := rrs[0].(*dns.SOA); !ok || soa.Serial < least {
		return 0, fmt.Errorf("the secondary has %v", rrs[0])
	} else {
		serial = soa.Serial
	}
	var zone, anchors strings.Builder
	for _, rr := range rrs[:len(rrs)-1] {
		fmt.Fprintln(&zone, rr)
		if k, ok := rr.(*dns.DNSKEY); ok && k.Flags&dns.SEP != 0 {
			fmt.Fprintf(&anchors, "trust-anchors { example.com. static-key %d %d %d %q; };\n", k.Flags, k.Protocol, k.Algorithm, k.PublicKey)
		}
	}
	file, anchor := filepath.Join(t.TempDir(), "zone"), filepath.Join(t.TempDir(), "anchor")
	if err := os.WriteFile(file, []byte(zone.String()), 0o600); err != nil {
		return 0, err
	}
	if err := os.WriteFile(anchor, []byte(anchors.String()), 0o600); err != nil {
		return 0, err
	}
	for program, args := range map[string][]string{"ldns-verify-zone": {file}, "dnssec-verify": {"-o", "example.com", file}} {
		if out, err := exec.Command(counterpart.Find(t, program), args...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s: %w\n%s", program, err, out)
		}
	}
	return serial, p.delv(t, secondary, anchor, name, rrtype)
}

// delv has a resolver validate answers of a server: records, balanced ones, those of a wildcard, and denials.
func (p *primary) delv(t *testing.T, server, anchor, name, rrtype string) error {
	t.Helper()
	const valid, denied = "; fully validated", "; negative response, fully validated"
	host, port, _ := strings.Cut(server, ":")
	for _, q := range [][3]string{
		{name, rrtype, valid},
		{"example.com", "CDS", denied},
		{"www.example.com", "A", valid},
		{"www.example.com", "HTTPS", valid},
		{"some.x.example.com", "MX", valid},
		{"sec.example.com", "DS", valid},
		{"none.example.com", "A", denied},
		{"www.example.com", "TXT", denied},
		{"b.c.example.com", "A", denied},
		{"cut.example.com", "DS", denied},
	} {
		out, err := exec.Command(counterpart.Find(t, "delv"), "@"+host, "-p", port, "-a", anchor, "+root=example.com", q[0], q[1]).CombinedOutput()
		if err != nil || !strings.Contains(string(out), q[2]) {
			return fmt.Errorf("delv %v: %w\n%s", q, err, out)
		}
	}
	return nil
}
