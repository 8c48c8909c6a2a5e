package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control"
	"meridian/dnsname"
	"meridian/server"
	"meridian/server/answer"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

// updatedServer returns an instance that answers from two zones with updates, without sockets, and has sync write their journals.
func updatedServer(t testing.TB, records string, sync func(*os.File) error) *instance {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("@ 300 SOA ns.example.net. h 7 2 3 4 5\n@ 300 NS ns.example.net.\n"+records), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(ixfrSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(strings.ReplaceAll(`
state: DIR/state
tsig: {xfr: {secret_file: DIR/key}}
zones:
  a.example: {file: DIR/a, serial: increment, update: [{key: xfr, names: ["*"]}]}
  b.example: {file: DIR/b, serial: increment, update: [{key: xfr, names: ["*"]}]}
`, "DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	built, _, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s := server.NewEmpty(server.Options{Logger: log})
	s.Begin(built)
	l := &instance{Daemon: &Daemon{Logger: log}, server: s, control: control.New(s, log), journals: transfer.NewJournals(log), updates: newZoneUpdates(), secondaries: transfer.NewNotifier(log)}
	t.Cleanup(l.secondaries.Close)
	l.journals.UseSync(sync)
	g := &generation{Generation: control.Generation{Snapshot: built}, roundTrips: &latencySource{}}
	if _, err := l.use(g, true); err != nil {
		t.Fatal(err)
	}
	return l
}

// added returns an update that adds a TXT record.
func added(t testing.TB, zone, record string, prerequisites ...dns.RR) *answer.Update {
	t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	msg := new(dns.Msg).SetUpdate(zone)
	msg.Insert([]dns.RR{rr})
	msg.NameUsed(prerequisites)
	packet, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return &answer.Update{Packet: packet, Zone: dnsname.Name(zone), Key: "xfr.", Ruled: true}
}

// names counts the names of a zone that are served.
func (l *instance) names(zone zones.ZoneID) int { return l.served().Zones.Summary()[zone].Names }

// TestSlowDiskDelaysOneZone makes updates of a zone with a disk that hangs. Updates of another zone and what changes the
// snapshot go on.
func TestSlowDiskDelaysOneZone(t *testing.T) {
	writing, hangs := make(chan struct{}, 8), make(chan struct{})
	var slow atomic.Bool
	l := updatedServer(t, "", func(f *os.File) error {
		if slow.Load() && strings.HasSuffix(f.Name(), "a.example.journal") {
			writing <- struct{}{}
			<-hangs
		}
		return nil
	})
	if o := l.applyUpdate(added(t, "a.example.", "x.a.example. 60 TXT 0")); o.Rcode != dns.RcodeSuccess {
		t.Fatalf("%+v", o)
	}
	slow.Store(true)
	outcomes := make(chan answer.UpdateOutcome, 2)
	first, _ := dns.NewRR("first.a.example. 60 TXT 1")
	go func() { outcomes <- l.applyUpdate(added(t, "a.example.", first.String())) }()
	<-writing
	go func() { outcomes <- l.applyUpdate(added(t, "a.example.", "second.a.example. 60 TXT 1", first)) }()
	if o := l.applyUpdate(added(t, "b.example.", "x.b.example. 60 TXT 1")); o.Rcode != dns.RcodeSuccess || l.names(1) != 2 {
		t.Errorf("the other zone: %+v, %d names", o, l.names(1))
	}
	if n := l.names(0); n != 2 {
		t.Errorf("%d names are served before they are on disk, want 2", n)
	}
	close(hangs)
	for range 2 {
		if o := <-outcomes; o.Rcode != dns.RcodeSuccess {
			t.Errorf("%+v", o)
		}
	}
	if n := l.names(0); n != 4 {
		t.Errorf("%d names, want 4", n)
	}
}

// TestFloodOfOneZoneLeavesRoomForOthers has more updates of a zone than may wait, while its disk hangs.
func TestFloodOfOneZoneLeavesRoomForOthers(t *testing.T) {
	writing, hangs := make(chan struct{}, 1), make(chan struct{})
	var slow atomic.Bool
	l := updatedServer(t, "", func(f *os.File) error {
		if slow.Load() && strings.Contains(f.Name(), "a.example.journal") {
			select {
			case writing <- struct{}{}:
			default:
			}
			<-hangs
		}
		return nil
	})
	slow.Store(true)
	outcomes := make(chan answer.UpdateOutcome, maxWaitingUpdates)
	flood := func() { outcomes <- l.applyUpdate(added(t, "a.example.", "x.a.example. 60 TXT 1")) }
	go flood()
	<-writing
	for range maxWaitingUpdates - 1 {
		go flood()
	}
	refused := maxWaitingUpdates - maxWaitingOfZone - 1
	for range refused {
		if o := <-outcomes; o != busyOutcome {
			t.Errorf("%+v", o)
		}
	}
	if o := l.applyUpdate(added(t, "b.example.", "x.b.example. 60 TXT 1")); o.Rcode != dns.RcodeSuccess {
		t.Errorf("the other zone: %+v", o)
	}
	close(hangs)
	for range maxWaitingUpdates - refused {
		if o := <-outcomes; o.Rcode != dns.RcodeSuccess {
			t.Errorf("%+v", o)
		}
	}
}

// TestFailedDiskMakesNoUpdate makes updates while the disk fails, and then others. The zone and its journal have only those that
// succeeded.
func TestFailedDiskMakesNoUpdate(t *testing.T) {
	var fails atomic.Bool
	l := updatedServer(t, "", func(*os.File) error {
		if fails.Load() {
			return errors.New("the disk is broken")
		}
		return nil
	})
	for i, want := range []int{dns.RcodeSuccess, dns.RcodeServerFailure, dns.RcodeServerFailure, dns.RcodeSuccess} {
		fails.Store(want != dns.RcodeSuccess)
		serial := l.served().Zones.Serial(0)
		if o := l.applyUpdate(added(t, "a.example.", string(rune('a'+i))+".a.example. 60 TXT 1")); o.Rcode != want {
			t.Errorf("update %d: %+v", i, o)
		}
		if changed := l.served().Zones.Serial(0) != serial; changed != (want == dns.RcodeSuccess) {
			t.Errorf("update %d has changed the serial: %t", i, changed)
		}
	}
	of, err := journal.Read(transfer.JournalFile(l.served().Config.State, "a.example."), "a.example.")
	if err != nil {
		t.Fatal(err)
	}
	state, _ := of.State()
	if overlay := of.Overlay(); len(overlay.Added) != 2 || state.Serial != l.served().Zones.Serial(0) || l.names(0) != 3 {
		t.Errorf("%d records, serial %d; %d names with serial %d are served", len(overlay.Added), state.Serial, l.names(0), l.served().Zones.Serial(0))
	}
}

// BenchmarkUpdateWithoutSync makes updates one after the other with a disk that takes no time: what an update takes besides it.
func BenchmarkUpdateWithoutSync(b *testing.B) {
	for _, names := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			l := updatedServer(b, generated(names), func(*os.File) error { return nil })
			i := 0
			for b.Loop() {
				if o := l.applyUpdate(added(b, "a.example.", fmt.Sprintf("n%d.a.example. 60 TXT 1", i))); o.Rcode != dns.RcodeSuccess {
					b.Fatalf("%+v", o)
				}
				i++
			}
		})
	}
}
