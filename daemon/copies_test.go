package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/counterpart"
	"meridian/transfer/secondary"
)

const copySecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="

// copyingConfig is a secondary of example.com, with a balanced name in it.
const copyingConfig = `
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: %[2]s/state
tsig: {xfr: {secret_file: %[2]s/key}}
pools: {web: {policy: all, members: [{name: a, addresses: [198.51.100.1]}]}}
zones:
  example.com:
    primaries: [{address: "127.0.0.1:%[3]d", key: xfr}]
    names: {www: {pool: web}}
`

// copied returns the serial of example.com that a server answers, and the data of a name's record.
func copied(port int, name string, qtype uint16) (string, error) {
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion(name, qtype), fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	var all []string
	for _, rr := range answer.Answer {
		all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return dns.RcodeToString[answer.Rcode] + " " + strings.Join(all, ","), nil
}

// awaitCopied waits until a server answers so.
func awaitCopied(t *testing.T, port int, name string, qtype uint16, want string) {
	t.Helper()
	counterpart.Await(t, func() error {
		got, err := copied(port, name, qtype)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %q, want %q", name, got, want)
		}
		return err
	})
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyZone is a zone file with a serial and an address.
func copyZone(serial int, address string) string {
	return fmt.Sprintf("$TTL 300\n@ SOA ns.example.net. host.example.net. %d 3600 600 86400 60\n@ NS ns.example.net.\nwww A 192.0.2.1\nhost A %s\n", serial, address)
}

// TestSecondaryFollowsItsPrimary has two servers of this program: one is the secondary of the other, which notifies it.
func TestSecondaryFollowsItsPrimary(t *testing.T) {
	t.Parallel() // changes of a second are notified together
	dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
	writeFile(t, dir, "key", copySecret)
	writeFile(t, dir, "zone", copyZone(1, "192.0.2.2"))
	from := fmt.Sprintf(`
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
tsig: {xfr: {secret_file: %[2]s/key}}
zones: {example.com: {file: %[2]s/zone, transfer: {out: [{addresses: [127.0.0.0/8], key: xfr}], notify: ["127.0.0.1:%[3]d"]}}}
`, ports[0], dir, ports[1])
	text := fmt.Sprintf(copyingConfig, ports[1], dir, ports[0])
	to := start(t, text)
	awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "SERVFAIL ") // the primary does not run yet
	if r := to.Readiness(); r.Ready || !strings.Contains(r.Why, "zone example.com. is answered SERVFAIL") {
		t.Errorf("before the first transfer: %+v", r)
	}
	primary := start(t, from)
	awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.2")
	awaitCopied(t, ports[1], "www.example.com.", dns.TypeA, "NOERROR 198.51.100.1")
	if r := to.Readiness(); !r.Ready {
		t.Errorf("after the first transfer: %+v", r)
	}
	writeFile(t, dir, "zone", copyZone(2, "192.0.2.3"))
	primary.reload(from)
	awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.3")
	to.reload(text)
	awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.3")
	if s := to.Copies(); len(s) != 1 || s[0].State != secondary.Ready || s[0].Serial != 2 || s[0].Failures != 0 {
		t.Errorf("status %+v", s)
	}
	switch z, err := to.RefreshZone(t.Context(), "example.com.", secondary.How{Force: true}); {
	case err != nil:
		t.Error(err)
	case z.Secondary == nil || z.Secondary.Serial != 2 || z.Serial != 2 || z.Names == 0 || z.Records == 0 || z.Balanced != 1 || len(z.Bound) != 1 || z.TTL == 0:
		t.Errorf("the refreshed zone is %+v", z)
	}
	if err := primary.stop(); err != nil {
		t.Error(err)
	}
	if err := to.stop(); err != nil {
		t.Error(err)
	}
	again := start(t, text)
	awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.3") // without the primary, thus of the file
	if r := again.Readiness(); !r.Ready {
		t.Errorf("after a restart without the primary: %+v", r)
	}
	if _, err := again.RefreshZone(t.Context(), "example.com.", secondary.How{}); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("refresh without the primary: %v", err)
	} else if refused := (*control.RequestError)(nil); !errors.As(err, &refused) || !strings.HasSuffix(refused.Hint, "meridian zone status example.com shows whether it is served") {
		t.Errorf("the hint of %#v", err)
	}
}

// TestTransferTakesNoEditOfAMasterFile edits the file of another zone: only a reload takes that, not a transfer.
func TestTransferTakesNoEditOfAMasterFile(t *testing.T) {
	t.Parallel()
	dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
	writeFile(t, dir, "key", copySecret)
	writeFile(t, dir, "zone", copyZone(1, "192.0.2.2"))
	writeFile(t, dir, "other", copyZone(1, "192.0.2.50"))
	from := fmt.Sprintf(`
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
tsig: {xfr: {secret_file: %[2]s/key}}
zones: {example.com: {file: %[2]s/zone, transfer: {out: [{addresses: [127.0.0.0/8], key: xfr}], notify: ["127.0.0.1:%[3]d"]}}}
`, ports[0], dir, ports[1])
	primary := start(t, from)
	text := fmt.Sprintf(copyingConfig, ports[1], dir, ports[0]) + "  example.org: {file: " + dir + "/other}\n"
	to := start(t, text)
	awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.2")
	for i, edit := range []string{copyZone(2, "192.0.2.51"), "@ SOA (half of an edit\n"} {
		address := fmt.Sprintf("192.0.2.%d", 3+i)
		writeFile(t, dir, "other", edit)
		writeFile(t, dir, "zone", copyZone(2+i, address))
		primary.reload(from)
		awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR "+address)
		awaitCopied(t, ports[1], "host.example.org.", dns.TypeA, "NOERROR 192.0.2.50")
	}
	writeFile(t, dir, "other", copyZone(3, "192.0.2.52"))
	to.reload(text)
	awaitCopied(t, ports[1], "host.example.org.", dns.TypeA, "NOERROR 192.0.2.52")
}

// TestOtherServersArePrimaries takes a zone from each of them, with TSIG, and its change after a notification.
func TestOtherServersArePrimaries(t *testing.T) {
	for program, c := range map[string]struct {
		conf   string // %[1]d its port, %[2]s the directory, %[3]d ours
		args   []string
		change func(t *testing.T, port int)
	}{
		"named": {`key xfr { algorithm hmac-sha256; secret "` + copySecret + `"; };
options { directory "%[2]s"; listen-on port %[1]d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; notify-delay 0; };
controls { };
server 127.0.0.1 { keys xfr; };
zone "example.com" { type primary; file "zone"; allow-transfer { key xfr; }; allow-update { key xfr; }; notify explicit; also-notify { 127.0.0.1 port %[3]d key xfr; }; };
`, []string{"-g", "-u", "root", "-c"}, update},
		"knotd": {`server:
  listen: 127.0.0.1@%[1]d
  rundir: "%[2]s"
  user: root
database:
  storage: "%[2]s/db"
key:
  - id: xfr
    algorithm: hmac-sha256
    secret: ` + copySecret + `
remote:
  - id: us
    address: 127.0.0.1@%[3]d
    key: xfr
acl:
  - id: all
    key: xfr
    action: [transfer, update]
zone:
  - domain: example.com
    storage: "%[2]s"
    file: zone
    notify: us
    acl: all
`, []string{"-c"}, update},
		"nsd": {`server:
  ip-address: 127.0.0.1@%[1]d
  username: ""
  zonesdir: "%[2]s"
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "%[2]s/zl"
  xfrdir: "%[2]s"
  database: ""
remote-control:
  control-enable: no
key:
  name: xfr
  algorithm: hmac-sha256
  secret: "` + copySecret + `"
zone:
  name: example.com
  zonefile: zone
  provide-xfr: 127.0.0.1 xfr
`, []string{"-d", "-c"}, nil},
	} {
		t.Run(program, func(t *testing.T) {
			dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
			counterpart.Find(t, program)
			writeFile(t, dir, "key", copySecret)
			writeFile(t, dir, "zone", "$ORIGIN example.com.\n"+copyZone(1, "192.0.2.2"))
			if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil { // of knotd
				t.Fatal(err)
			}
			conf := fmt.Sprintf(c.conf, ports[0], dir, ports[1])
			conf, _, _ = strings.Cut(conf, "%!(EXTRA")
			counterpart.StartWith(t, program, conf, c.args...)
			counterpart.AwaitListeners(t, ports[0])
			to := start(t, fmt.Sprintf(copyingConfig, ports[1], dir, ports[0]))
			awaitCopied(t, ports[1], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.2")
			awaitCopied(t, ports[1], "www.example.com.", dns.TypeA, "NOERROR 198.51.100.1")
			if c.change != nil {
				c.change(t, ports[0])
				awaitCopied(t, ports[1], "new.example.com.", dns.TypeA, "NOERROR 192.0.2.9")
			}
			if _, err := to.RefreshZone(t.Context(), "example.com.", secondary.How{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// update adds a name to the zone of a server.
func update(t *testing.T, port int) {
	t.Helper()
	msg := new(dns.Msg).SetUpdate("example.com.")
	rr, err := dns.NewRR("new.example.com. 60 IN A 192.0.2.9")
	if err != nil {
		t.Fatal(err)
	}
	msg.Insert([]dns.RR{rr})
	msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
	client := dns.Client{Net: "tcp", Timeout: time.Minute, TsigSecret: map[string]string{"xfr.": copySecret}}
	answer, _, err := client.Exchange(msg, net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
	if err != nil || answer.Rcode != dns.RcodeSuccess {
		t.Fatalf("%v %v", answer, err)
	}
}
