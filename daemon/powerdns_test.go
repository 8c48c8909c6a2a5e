package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// powerDNS serves at port %[1]d from databases in %[2]s. It looks for changes of its primaries rarely: notifications report them.
const powerDNS = `launch=gsqlite3
gsqlite3-database=%[2]s/db
gsqlite3-pragma-synchronous=0
socket-dir=%[2]s
local-address=127.0.0.1
local-port=%[1]d
primary=yes
secondary=yes
xfr-cycle-interval=3600
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
security-poll-suffix=
`

// besidePowerDNS serves at port %[1]d zones that the server at port %[2]d takes, and takes pdns.example from it. %[4]s are more zones.
const besidePowerDNS = `
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
state: %[3]s/state
tsig: {xfr: {secret_file: %[3]s/key}}
catalogs:
  catalog.example: {produce: true, transfer: {out: [{addresses: [127.0.0.1], key: xfr}], notify: ["127.0.0.1:%[2]d"]}}
zones:
  pdns.example: {primaries: [{address: "127.0.0.1:%[2]d", key: xfr}]}
  example.com:
    file: %[3]s/zone
    transfer: {out: [{addresses: [127.0.0.1], key: xfr}], notify: ["127.0.0.1:%[2]d"]}
    update: [{key: xfr, names: ["*"]}]
  one.example: &member
    nameservers: {ns.example.net: []}
    contact: host@example.com
    catalog: {name: catalog.example}
    transfer: {out: [{addresses: [127.0.0.1]}], notify: ["127.0.0.1:%[2]d"]}
%[4]s`

// TestPowerDNSTransfersBothWays checks the commands of the guides. It has one PowerDNS as secondary with TSIG and differences, as primary, and as consumer of a catalog: members of that have
// no key of their own, so their transfers are allowed by address. With LMDB, PowerDNS 4.7 does not answer what a difference adds.
func TestPowerDNSTransfersBothWays(t *testing.T) {
	t.Parallel()
	counterpart.Find(t, "pdns_server")
	ports, folder := counterpart.FreePorts(t, 2), t.TempDir()
	p := &primary{dir: t.TempDir()}
	p.write(t, "key", ixfrSecret)
	p.write(t, "zone", ixfrZone)
	if err := os.WriteFile(filepath.Join(folder, "pdns.conf"), []byte(fmt.Sprintf(powerDNS, ports[1], folder)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(program string, args ...string) {
		t.Helper()
		counterpart.Output(t, program, append([]string{"--config-dir=" + folder}, args...)...)
	}
	here := fmt.Sprintf("127.0.0.1:%d", ports[0])
	writeFile(t, folder, "zone", "$TTL 300\n@ SOA ns host 1 3600 1 86400 60\n@ NS ns\nns A 127.0.0.1\nwww TXT one\n")
	counterpart.Output(t, "sqlite3", filepath.Join(folder, "db"), ".read /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
	for _, args := range [][]string{
		{"import-tsig-key", "xfr", "hmac-sha256", ixfrSecret},
		{"create-secondary-zone", "example.com", here},
		{"activate-tsig-key", "example.com", "xfr", "secondary"},
		{"set-meta", "example.com", "IXFR", "1"},
		{"create-secondary-zone", "catalog.example", here},
		{"set-kind", "catalog.example", "consumer"},
		{"activate-tsig-key", "catalog.example", "xfr", "secondary"},
		{"load-zone", "pdns.example", filepath.Join(folder, "zone")},
		{"set-kind", "pdns.example", "primary"},
		{"set-meta", "pdns.example", "ALSO-NOTIFY", here},
		{"activate-tsig-key", "pdns.example", "xfr", "primary"},
	} {
		run("pdnsutil", args...)
	}
	counterpart.Start(t, "pdns_server", "--config-dir="+folder, "--daemon=no", "--guardian=no")
	counterpart.AwaitListeners(t, ports[1])
	text := func(zones string) string { return fmt.Sprintf(besidePowerDNS, ports[0], ports[1], p.dir, zones) }
	p.text = text("")
	p.runningDaemon = start(t, p.text)

	const member = "NOERROR ns.example.net."
	t.Run("as secondary", func(t *testing.T) {
		awaitCopied(t, ports[1], "b.example.com.", dns.TypeTXT, `NOERROR "b"`)
		p.update(t, "k8s.example.com.")
		awaitCopied(t, ports[1], "k8s.example.com.", dns.TypeA, "NOERROR 192.0.2.77")
		counterpart.Await(t, func() error { // the secondary answers before the log has the line
			if !strings.Contains(p.log.all(), "type=ixfr") {
				return fmt.Errorf("no difference was sent:\n%s", p.log.all())
			}
			return nil
		})
	})
	t.Run("as primary", func(t *testing.T) {
		awaitCopied(t, ports[0], "www.pdns.example.", dns.TypeTXT, `NOERROR "one"`)
		run("pdnsutil", "replace-rrset", "pdns.example", "www", "TXT", "300", `"two"`)
		run("pdnsutil", "increase-serial", "pdns.example")
		run("pdns_control", "notify", "pdns.example")
		awaitCopied(t, ports[0], "www.pdns.example.", dns.TypeTXT, `NOERROR "two"`)
	})
	t.Run("as consumer of a catalog", func(t *testing.T) {
		awaitCopied(t, ports[1], "one.example.", dns.TypeNS, member)
		p.reload(t, text("  two.example: *member\n"))
		awaitCopied(t, ports[1], "two.example.", dns.TypeNS, member)
		p.reload(t, p.text)
		awaitCopied(t, ports[1], "two.example.", dns.TypeNS, "REFUSED ")
		awaitCopied(t, ports[1], "one.example.", dns.TypeNS, member)
	})
}
