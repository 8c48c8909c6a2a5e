package daemon

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/counterpart"
	"meridian/dnsname"
)

// catalogConfig produces a catalog at port %[1]d for a consumer at port %[2]d. %[3]s are more zones.
const catalogConfig = `
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
catalogs:
  catalog.example: {produce: true, transfer: {out: [{addresses: [127.0.0.1]}], notify: ["127.0.0.1:%[2]d"]}}
zones:
  one.example: &zone
    nameservers: {ns.example.net: []}
    contact: host@example.com
    catalog: {name: catalog.example, group: plain}
    transfer: {out: [{addresses: [127.0.0.1]}], notify: ["127.0.0.1:%[2]d"]}
%[3]s`

// catalogConsumers are programs that consume catalog.example of port %[1]d, and serve its zones at port %[2]d. In %[3]s they may
// keep files.
var catalogConsumers = map[string]struct {
	conf string
	args []string
}{
	"named": {`options { directory "%[3]s"; pid-file none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; empty-zones-enable no; min-retry-time 1; max-retry-time 1; allow-new-zones yes; session-keyfile none;
  catalog-zones { zone "catalog.example" default-primaries { 127.0.0.1 port %[1]d; } in-memory yes min-update-interval 1; }; };
controls { };
zone catalog.example { type secondary; file "catalog"; primaries { 127.0.0.1 port %[1]d; }; };
`, []string{"-g", "-c"}},
	"knotd": {`server:
    listen: 127.0.0.1@%[2]d
    rundir: "%[3]s"
database:
    storage: "%[3]s"
remote:
  - id: primary
    address: 127.0.0.1@%[1]d
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
template:
  - id: default
    storage: "%[3]s"
    acl: notify
    retry-min-interval: 1
    retry-max-interval: 2
    refresh-max-interval: 5
  - id: plain
    storage: "%[3]s"
    master: primary
    acl: notify
    retry-min-interval: 1
    retry-max-interval: 2
    refresh-max-interval: 5
zone:
  - domain: catalog.example
    master: primary
    catalog-role: interpret
    catalog-template: plain
`, []string{"-c"}},
}

// TestConsumersServeTheZonesOfACatalog has the name servers of other projects serve the zones of a catalog, while a reload adds a
// zone and another removes it.
func TestConsumersServeTheZonesOfACatalog(t *testing.T) {
	for program, of := range catalogConsumers {
		t.Run(program, func(t *testing.T) {
			t.Parallel() // changes of a second are notified together
			counterpart.Find(t, program)
			ports := counterpart.FreePorts(t, 2)
			text := func(zones string) string { return fmt.Sprintf(catalogConfig, ports[0], ports[1], zones) }
			counterpart.StartWith(t, program, fmt.Sprintf(of.conf, ports[0], ports[1], t.TempDir()), of.args...)
			counterpart.AwaitListeners(t, ports[1])
			p := start(t, text(""))
			await := func(zone string, want bool) {
				t.Helper()
				counterpart.Await(t, func() error {
					got, err := copied(ports[1], zone, dns.TypeNS)
					if err == nil && (got == "NOERROR ns.example.net.") != want {
						err = fmt.Errorf("%s: %s", zone, got)
					}
					return err
				})
			}
			await("one.example.", true)
			p.reload(text("  two.example: *zone\n"))
			await("two.example.", true)
			p.reload(text(""))
			await("two.example.", false)
			await("one.example.", true)
		})
	}
}

// TestCatalogListsItsZones checks the records of a catalog, and that a changed list has a higher serial.
func TestCatalogListsItsZones(t *testing.T) {
	ports := counterpart.FreePorts(t, 2)
	text := func(zones string) string {
		return strings.Replace(fmt.Sprintf(catalogConfig, ports[0], ports[1], zones), fmt.Sprintf(`, notify: ["127.0.0.1:%d"]`, ports[1]), "", 2)
	}
	p := start(t, text("  none.example: {nameservers: {ns.example.net: []}, contact: host@example.com}\n"))
	server := p.listens(t)
	transferred := func() (serial uint32, all []string) {
		t.Helper()
		envelopes, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("catalog.example."), server)
		if err != nil {
			t.Fatal(err)
		}
		for e := range envelopes {
			for _, rr := range e.RR {
				if soa, ok := rr.(*dns.SOA); ok {
					serial = soa.Serial
					continue
				}
				all = append(all, strings.Join(strings.Fields(rr.String()), " "))
			}
			if e.Error != nil {
				t.Fatal(e.Error)
			}
		}
		return serial, all
	}
	first, got := transferred()
	const label = "nf7vpvcslb1fgs0i"
	for _, want := range []string{
		"catalog.example. 3600 IN NS invalid.",
		`version.catalog.example. 3600 IN TXT "2"`,
		label + ".zones.catalog.example. 3600 IN PTR one.example.",
		`group.` + label + `.zones.catalog.example. 3600 IN TXT "plain"`,
	} {
		if text := strings.Join(got, "\n"); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if len(got) != 4 {
		t.Errorf("records %q", got)
	}
	p.reload(text("  two.example: *zone\n"))
	if second, all := transferred(); int32(second-first) <= 0 || len(all) != 6 {
		t.Errorf("serial %d after %d, records %q", second, first, all)
	}
}

// TestReloadKeepsTheZonesOfACatalog reloads configurations that take zones out of a catalog, of which those that leave fewer than
// half are refused.
func TestReloadKeepsTheZonesOfACatalog(t *testing.T) {
	text := func(produced bool, members int) string {
		catalogs := ""
		if produced {
			catalogs = "catalogs: {catalog.example: {produce: true}}\n"
		}
		out := catalogs + "server: {listen: [\"127.0.0.1:0\"], workers: 1}\nzones:\n"
		for i := range 4 {
			out += fmt.Sprintf("  zone%d.example: {nameservers: {ns.example.net: []}, contact: host@example.com", i)
			if i < members {
				out += ", catalog: catalog.example"
			}
			out += "}\n"
		}
		return out
	}
	p := &primary{dir: t.TempDir(), runningDaemon: start(t, text(true, 4))}
	const left = `msg="zones left a catalog; its secondaries delete them" catalog=catalog.example. zones=`
	expect := func(logged string, times int) {
		t.Helper()
		if got := strings.Count(p.log.all(), logged); got != times {
			t.Errorf("%d times %s, want %d, in\n%s", got, logged, times, p.log.all())
		}
	}
	const refused = `msg="reload refused; the old configuration keeps serving" error="the new configuration has 0 zones in catalog catalog.example, fewer than half of the 2 that are served: its secondaries delete the others"`
	p.reload(t, text(true, 2))
	expect("reload refused", 0)
	expect(left+"2", 1)
	p.reload(t, text(true, 0))
	expect(refused, 2)
	p.reload(t, text(false, 0))
	expect("reload refused", 2)
	expect(left, 1)
}

// TestStartKeepsTheZonesOfACatalog checks that a copy of the last good configuration has the zones in catalogs.
func TestStartKeepsTheZonesOfACatalog(t *testing.T) {
	var saved goodManifest
	if err := json.Unmarshal([]byte(`{"members": {"catalog.example.": 3}}`), &saved); err != nil {
		t.Fatal(err)
	}
	for members, refused := range []bool{true, true, false} {
		next := &control.Loaded{Members: map[dnsname.Name]int{"catalog.example.": members}}
		if err := refuseRemoval(&control.Loaded{Members: saved.Members}, next); (err != nil) != refused {
			t.Errorf("%d of 3 zones stay: %v", members, err)
		}
	}
}
