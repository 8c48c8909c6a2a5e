package daemon

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/counterpart"
	"meridian/dnsname"
	"meridian/transfer/secondary"
)

// zonePrimary is a primary of zones that a test writes.
type zonePrimary struct {
	mu     sync.Mutex
	zones  map[string][]dns.RR // the SOA is the first
	serial uint32
	asked  map[string]int // transfers, by zone
}

// startZonePrimary starts a primary, and returns the port of it.
func startZonePrimary(t *testing.T) (*zonePrimary, int) {
	t.Helper()
	p := &zonePrimary{zones: map[string][]dns.RR{}, asked: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: p}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return p, listener.Addr().(*net.TCPAddr).Port
}

// write replaces a zone by records, with a higher serial. Without records there is no such zone.
func (p *zonePrimary) write(t *testing.T, zone string, records ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.zones, zone)
	if len(records) == 0 {
		return
	}
	p.serial++
	records = append([]string{fmt.Sprintf("@ 300 SOA ns.example.net. host.example.net. %d 1 1 86400 60", p.serial), "@ 300 NS ns.example.net."}, records...)
	parser := dns.NewZoneParser(strings.NewReader(strings.Join(records, "\n")+"\n"), zone, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		p.zones[zone] = append(p.zones[zone], rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
}

// ServeDNS answers SOA queries, and sends whole zones.
func (p *zonePrimary) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := new(dns.Msg).SetReply(query)
	answer.Authoritative = true
	all, qtype := p.zones[query.Question[0].Name], query.Question[0].Qtype
	switch {
	case all == nil:
		answer.Rcode = dns.RcodeRefused
	case qtype == dns.TypeSOA:
		answer.Answer = all[:1]
	default:
		p.asked[query.Question[0].Name]++
		answer.Answer = append(slices.Clone(all), all[0])
	}
	_ = w.WriteMsg(answer)
}

// member returns the records of a zone in a catalog.
func member(label, zone string, more ...string) []string {
	records := []string{label + ".zones 300 PTR " + zone}
	for _, m := range more {
		property, data, _ := strings.Cut(m, " ")
		records = append(records, property+"."+label+".zones 300 "+data)
	}
	return records
}

const catalogVersion = `version 300 TXT "2"`

// consuming is a configuration that consumes catalogs. %[1]d is its port, %[2]s a folder, %[3]d the port of a primary.
const consuming = `
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: %[2]s
zones: {local.example: {nameservers: {ns.local.test: []}, contact: host@example.com}}
catalogs:
  a.catalog: &catalog
    primaries: [{address: "127.0.0.1:%[3]d"}]
    removal_grace: %[4]s
    template: {}
    groups: {closed: {allow: [192.0.2.0/24]}}
  b.catalog: *catalog
`

// catalogWorld is a server that consumes catalogs of a primary.
type catalogWorld struct {
	*runningDaemon
	t       *testing.T
	primary *zonePrimary
	port    int
	text    string
}

func consumeCatalogs(t *testing.T, grace string) *catalogWorld {
	t.Helper()
	primary, from := startZonePrimary(t)
	w := &catalogWorld{t: t, primary: primary, port: counterpart.FreePorts(t, 1)[0]}
	w.text = fmt.Sprintf(consuming, w.port, t.TempDir(), from, grace)
	for _, zone := range []string{"one.example.", "two.example.", "three.example.", "four.example."} {
		primary.write(t, zone, "www 300 TXT "+zone)
	}
	w.runningDaemon = start(t, w.text)
	return w
}

// catalog replaces a catalog and has the server take it.
func (w *catalogWorld) catalog(name string, records ...[]string) {
	w.t.Helper()
	w.primary.write(w.t, name, append([]string{catalogVersion}, slices.Concat(records...)...)...)
	w.refresh(name, secondary.How{})
}

func (w *catalogWorld) refresh(name string, how secondary.How) {
	w.t.Helper()
	counterpart.Await(w.t, func() error {
		_, err := w.RefreshZone(w.t.Context(), dnsname.Name(name), how)
		return err
	})
}

// await waits until a zone is served, or answered otherwise.
func (w *catalogWorld) await(zone, want string) {
	w.t.Helper()
	if want == "served" {
		want = fmt.Sprintf("NOERROR %q", zone)
	}
	awaitCopied(w.t, w.port, "www."+zone, dns.TypeTXT, want)
}

// of returns what the server has of a zone; nil: it has none.
func (w *catalogWorld) of(zone string) *control.Zone {
	all := w.Zones()
	i := slices.IndexFunc(all, func(z control.Zone) bool { return string(z.Zone) == zone })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// awaitZone waits until a condition of a zone holds.
func (w *catalogWorld) awaitZone(zone, what string, holds func(*control.Zone) bool) {
	w.t.Helper()
	counterpart.Await(w.t, func() error {
		if z := w.of(zone); !holds(z) {
			return fmt.Errorf("zone %s: not %s: %+v", zone, what, z)
		}
		return nil
	})
}

func (w *catalogWorld) transfers(zone string) int {
	w.primary.mu.Lock()
	defer w.primary.mu.Unlock()
	return w.primary.asked[zone]
}

const (
	refused  = "REFUSED "
	servfail = "SERVFAIL "
)

// TestCatalogAddsAndRemovesZones has a zone leave a catalog and come back, a group, a conflict, and a restart without the primary.
func TestCatalogAddsAndRemovesZones(t *testing.T) {
	t.Parallel()
	w := consumeCatalogs(t, "24h")
	w.catalog("a.catalog.", member("1", "one.example."), member("2", "two.example.", `group TXT "closed"`), member("3", "local.example."))
	w.await("one.example.", "served")
	w.await("two.example.", refused) // its group answers other clients
	w.awaitZone("two.example.", "in the group", func(z *control.Zone) bool { return z != nil && z.Member != nil && z.Member.Group == "closed" })
	awaitCopied(t, w.port, "a.catalog.", dns.TypeSOA, refused)
	w.awaitZone("a.catalog.", "in conflict", func(z *control.Zone) bool {
		return z.Consumed.Members == 2 && len(z.Consumed.Conflicts) == 1 && z.Consumed.Conflicts[0].Zone == "local.example."
	})
	w.catalog("a.catalog.", member("2", "two.example."))
	w.await("two.example.", "served")
	w.awaitZone("one.example.", "leaving", func(z *control.Zone) bool { return z != nil && !z.Member.Removed.IsZero() })
	w.await("one.example.", "served")
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	w.primary.write(t, "one.example.")
	w.primary.write(t, "two.example.")
	w.runningDaemon = start(t, w.text)
	w.await("one.example.", "served") // from the disk
	w.await("two.example.", "served")
	w.awaitZone("one.example.", "leaving", func(z *control.Zone) bool { return z != nil && !z.Member.Removed.IsZero() })
	w.catalog("a.catalog.", member("1", "one.example."), member("2", "two.example."))
	w.awaitZone("one.example.", "back", func(z *control.Zone) bool { return z.Member.Left.IsZero() })
	w.await("one.example.", "served")
	w.reload(w.text)
	w.await("one.example.", "served")
	w.reload(strings.ReplaceAll(w.text, "local.example:", "one.example:")) // it is configured now
	awaitCopied(t, w.port, "one.example.", dns.TypeNS, "NOERROR ns.local.test.")
	w.awaitZone("one.example.", "configured", func(z *control.Zone) bool { return z.Member == nil && z.Secondary == nil })
}

// TestZoneIsRemovedAfterTheGrace has a zone leave a catalog: its data goes, and it is transferred again if it comes back.
func TestZoneIsRemovedAfterTheGrace(t *testing.T) {
	t.Parallel()
	w := consumeCatalogs(t, "100ms")
	both := [][]string{member("1", "one.example."), member("2", "two.example.")}
	w.catalog("a.catalog.", both...)
	w.await("one.example.", "served")
	w.await("two.example.", "served")
	w.catalog("a.catalog.", both[1])
	w.await("one.example.", refused)
	before := w.transfers("one.example.")
	w.catalog("a.catalog.", both...)
	w.await("one.example.", "served")
	if w.transfers("one.example.") == before {
		t.Error("the data of a removed zone was kept")
	}
}

// TestLabelAndOwnerOfAZone has the label of a zone change, which resets it, and another catalog take a zone, which needs its coo
// property.
func TestLabelAndOwnerOfAZone(t *testing.T) {
	t.Parallel()
	w := consumeCatalogs(t, "24h")
	w.catalog("a.catalog.", member("1", "one.example."), member("2", "two.example."), member("3", "three.example."))
	w.catalog("b.catalog.", member("2", "two.example."), member("4", "four.example."))
	for _, zone := range []string{"one.example.", "two.example.", "three.example.", "four.example."} {
		w.await(zone, "served")
	}
	w.awaitZone("b.catalog.", "in conflict", func(z *control.Zone) bool { return len(z.Consumed.Conflicts) == 1 && z.Consumed.Members == 1 })

	before := w.transfers("one.example.")
	w.catalog("a.catalog.", member("new", "one.example."), member("2", "two.example.", "coo PTR b.catalog."), member("3", "three.example."))
	w.awaitZone("two.example.", "in the other catalog", func(z *control.Zone) bool { return z.Member.Catalog == "b.catalog." })
	w.await("two.example.", "served")
	if n := w.transfers("two.example."); n != 1 {
		t.Errorf("%d transfers of a zone that moves with its label", n)
	}
	counterpart.Await(t, func() error {
		if w.transfers("one.example.") == before {
			return fmt.Errorf("a zone with another label was not transferred again")
		}
		return nil
	})
	w.await("one.example.", "served")

	w.catalog("a.catalog.", member("new", "one.example."), member("3", "three.example."))
	w.catalog("b.catalog.", member("2", "two.example."), member("5", "three.example."), member("4", "four.example."))
	w.awaitZone("three.example.", "in the first catalog", func(z *control.Zone) bool { return z.Member.Catalog == "a.catalog." })
	w.catalog("a.catalog.", member("new", "one.example."))
	w.awaitZone("three.example.", "in the catalog that lists it", func(z *control.Zone) bool { return z.Member.Catalog == "b.catalog." })
	w.await("three.example.", "served")
}

// TestBrokenCatalogsChangeNothing has the primary send catalogs that must not be used.
func TestBrokenCatalogsChangeNothing(t *testing.T) {
	t.Parallel()
	w := consumeCatalogs(t, "0s")
	w.catalog("a.catalog.", member("1", "one.example."), member("2", "two.example."), member("3", "three.example."), member("4", "four.example."))
	w.await("one.example.", "served")
	for _, broken := range []struct {
		records []string
		want    string
	}{
		{member("1", "one.example."), "no version"},
		{append(member("1", "one.example."), `version 300 TXT "1"`), `version "1"`},
		{append(member("1", "one.example."), catalogVersion, `version 300 TXT "1"`), "2 versions"},
		{append(append(member("1", "one.example."), catalogVersion), member("1", "two.example.")...), "two zones"},
		{append(append(member("1", "one.example."), catalogVersion), member("2", "one.example.")...), "two labels"},
		{append(member("1", "one.example.", "coo PTR b.catalog.", "coo PTR c.catalog."), catalogVersion), "two coo"},
		{append(member("1", "a.catalog."), catalogVersion), "lists itself"},
		{[]string{catalogVersion}, "4 of the 4 zones"},
		{append(member("1", "one.example."), catalogVersion), "3 of the 4 zones"},
	} {
		w.primary.write(t, "a.catalog.", broken.records...)
		if _, err := w.RefreshZone(t.Context(), "a.catalog.", secondary.How{}); err == nil || !strings.Contains(err.Error(), broken.want) {
			t.Errorf("%q: error %v, want %q", broken.records, err, broken.want)
		}
		if z := w.of("a.catalog."); z.Consumed.Members != 4 || z.Consumed.Leaving != 0 || !strings.Contains(z.Secondary.Error, broken.want) {
			t.Errorf("%q: catalog %+v", broken.records, z.Consumed)
		}
	}
	w.await("two.example.", "served")
	w.refresh("a.catalog.", secondary.How{AllowRemoval: true})
	w.await("two.example.", refused)
	w.await("one.example.", "served")
	w.reload(strings.ReplaceAll(w.text, "a.catalog:", "c.catalog:"))
	w.await("one.example.", "served") // the reload is refused
}

// catalogProducers are programs that have catalog a.catalog and its zones in folder %[2]s at port %[1]d, and notify port %[3]d.
var catalogProducers = map[string]struct {
	conf string
	args []string
}{
	"named": {`options { directory "%[2]s"; pid-file none; listen-on port %[1]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; empty-zones-enable no; session-keyfile none;
  allow-transfer { 127.0.0.1; }; allow-update { 127.0.0.1; }; also-notify { 127.0.0.1 port %[3]d; }; notify explicit; notify-delay 0; serial-query-rate 100; };
controls { };
zone a.catalog { type primary; file "a.catalog"; };
zone one.example { type primary; file "member"; };
zone two.example { type primary; file "member2"; };
`, []string{"-g", "-c"}},
	"knotd": {`server:
    listen: 127.0.0.1@%[1]d
    rundir: "%[2]s"
database:
    storage: "%[2]s"
remote:
  - id: consumer
    address: 127.0.0.1@%[3]d
acl:
  - id: all
    address: 127.0.0.1
    action: [transfer, update]
template:
  - id: default
    storage: "%[2]s"
    acl: all
    notify: consumer
zone:
  - domain: a.catalog
    file: a.catalog
  - domain: one.example
    file: member
  - domain: two.example
    file: member2
`, []string{"-c"}},
}

// TestConsumesCatalogsOfOtherServers has the catalog of another server gain a zone, and lose it again.
func TestConsumesCatalogsOfOtherServers(t *testing.T) {
	for program, of := range catalogProducers {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			counterpart.Find(t, program)
			dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
			head := "$TTL 300\n@ SOA ns.example.net. host.example.net. 1 2 1 86400 60\n@ NS ns.example.net.\n"
			writeFile(t, dir, "a.catalog", head+catalogVersion+"\n"+strings.Join(member("1", "one.example."), "\n")+"\n")
			writeFile(t, dir, "member", head+"www TXT one.example.\n")
			writeFile(t, dir, "member2", head+"www TXT two.example.\n")
			counterpart.StartWith(t, program, fmt.Sprintf(of.conf, ports[0], dir, ports[1]), of.args...)
			counterpart.AwaitListeners(t, ports[0])
			w := &catalogWorld{t: t, port: ports[1]}
			w.runningDaemon = start(t, fmt.Sprintf(consuming, ports[1], t.TempDir(), ports[0], "100ms"))
			w.await("one.example.", "served")
			entry, err := dns.NewRR("2.zones.a.catalog. 300 IN PTR two.example.")
			if err != nil {
				t.Fatal(err)
			}
			change := func(set func(*dns.Msg)) {
				t.Helper()
				update := new(dns.Msg).SetUpdate("a.catalog.")
				set(update)
				if answer, err := counterpart.Exchange(update, fmt.Sprintf("127.0.0.1:%d", ports[0])); err != nil || answer.Rcode != dns.RcodeSuccess {
					t.Fatalf("%v %v", answer, err)
				}
			}
			change(func(m *dns.Msg) { m.Insert([]dns.RR{entry}) })
			w.await("two.example.", "served")
			change(func(m *dns.Msg) { m.Remove([]dns.RR{entry}) })
			w.await("two.example.", refused)
			w.await("one.example.", "served")
		})
	}
}
