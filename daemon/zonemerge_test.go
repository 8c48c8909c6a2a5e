package daemon

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"weak"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

// TestServerMergesUpdatesWhileItAnswers has several clients update a zone of a server that always merges, and reloads in between.
// Each client finds what it was acknowledged; at the end the zone has exactly that. The journal agrees: after another start the
// zone has the same records and the same serial.
func TestServerMergesUpdatesWhileItAnswers(t *testing.T) {
	const clients, updates = 3, 40
	var merges atomic.Int32
	always := func(l *Daemon) {
		l.overgrown = func(*zones.Data) bool { merges.Add(1); return true }
	}
	p := startPrimaryWith(t, strings.Replace(anyUpdate, "}", "}, serial: increment", 1), ixfrZone, always)
	server := p.listens(t)
	all := whole(t, server)
	want := make([][]string, clients)
	var running sync.WaitGroup
	for c := range clients {
		u := newUpdater(t, server)
		running.Go(func() {
			for i := range updates {
				name, wanted := fmt.Sprintf("n%d.c%d", i%4, c), "NXDOMAIN"
				set := txt(t, name, fmt.Sprint(i))
				edit := func(m *dns.Msg) { m.RemoveName(set) }
				if i%3 != 2 {
					wanted = fmt.Sprintf("NOERROR %d", i)
					edit = func(m *dns.Msg) { m.RemoveRRset(txt(t, name, "0")); m.Insert(set) }
				}
				if record := line(set[0]); i >= updates-4 && i%3 != 2 {
					want[c] = append(want[c], record)
				}
				if err := u.send(edit); err != nil {
					t.Error(err)
					return
				}
				if got := texts(t, server, name+".example.com."); got != wanted {
					t.Errorf("%s after update %d: %s, want %s", name, i, got, wanted)
				}
			}
		})
	}
	p.reload(t, p.text)
	running.Wait()
	all = slices.Concat(append(want, all)...)
	slices.Sort(all)
	if got := whole(t, server); !slices.Equal(got, all) {
		t.Errorf("the zone has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(all, "\n"))
	}
	serial := p.serial(t, server)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	if n, log := merges.Load(), p.log.all(); n < 3 || strings.Contains(log, "level=ERROR") {
		t.Errorf("%d merges began; the log is\n%s", n, log)
	}
	p.runningDaemon = p.startAgain(t)
	server = p.listens(t)
	if got := whole(t, server); !slices.Equal(got, all) {
		t.Errorf("after another start the zone has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(all, "\n"))
	}
	if got := p.serial(t, server); got != serial {
		t.Errorf("serial %d after another start, %d before", got, serial)
	}
}

// TestHealthStatesArePublishedBetweenUpdatesAndMerges publishes the health states of a zone while updates of it and of another zone
// are made and merged: no serial and no update is lost. The disk fails at one time: then the zone and its journal stay as they are.
func TestHealthStatesArePublishedBetweenUpdatesAndMerges(t *testing.T) {
	const each = 30
	var fails atomic.Bool
	l := updatedServer(t, "", func(*os.File) error {
		if fails.Load() {
			return errors.New("the disk is broken")
		}
		return nil
	})
	l.updates.overgrown = func(*zones.Data) bool { return true }
	first, live := l.served().Zones.Serial(0), &transfer.Live{}
	l.current.Snapshot.Live = live
	update := func(zone string, i int) {
		if o := l.applyUpdate(added(t, zone, fmt.Sprintf("n%d.%s 60 TXT 1", i, zone))); o.Rcode != dns.RcodeSuccess {
			t.Errorf("%+v", o)
		}
	}
	var running sync.WaitGroup
	for _, zone := range []string{"a.example.", "b.example."} {
		running.Go(func() {
			for i := range each {
				update(zone, i)
			}
		})
	}
	for range each {
		if !l.publishLive(l.current, live, 0) {
			t.Error("not published")
		}
	}
	running.Wait()
	fails.Store(true)
	if l.publishLive(l.current, live, 0) {
		t.Error("published while the disk fails")
	}
	fails.Store(false)
	update("a.example.", each)
	if !l.publishLive(l.current, live, 0) {
		t.Error("not published")
	}
	l.updates.running.Wait()
	if serial, want := l.served().Zones.Serial(0), first+2*each+2; serial != want {
		t.Errorf("serial %d, want %d", serial, want)
	}
	if a, b := l.names(0), l.names(1); a != each+2 || b != each+1 {
		t.Errorf("%d and %d names", a, b)
	}
	of, err := journal.Read(transfer.JournalFile(l.served().Config.State, "a.example."), "a.example.")
	if err != nil {
		t.Fatal(err)
	}
	if state, _ := of.State(); state.Serial != l.served().Zones.Serial(0) || state.Added != each+1 {
		t.Errorf("the journal has serial %d and %d records", state.Serial, state.Added)
	}
}

// TestMergeReleasesTheZonesBefore updates and merges zones: nothing keeps what was compiled in memory.
func TestMergeReleasesTheZonesBefore(t *testing.T) {
	l := updatedServer(t, "", func(*os.File) error { return nil })
	l.updates.overgrown = func(*zones.Data) bool { return true }
	compiled := weak.Make(l.served().Zones)
	if o := l.applyUpdate(added(t, "a.example.", "x.a.example. 60 TXT 1")); o.Rcode != dns.RcodeSuccess {
		t.Fatalf("%+v", o)
	}
	l.updates.running.Wait()
	counterpart.Await(t, func() error { // goroutines that have ended may hold them a little longer
		runtime.GC()
		if compiled.Value() != nil {
			return errors.New("the zones before the update are in memory")
		}
		return nil
	})
	runtime.KeepAlive(l)
}
