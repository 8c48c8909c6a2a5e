package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control"
	"meridian/dnsname"
	"meridian/server/answer"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

// updating returns an instance that serves example.com, and a zone without data.
func updating(t *testing.T) *instance {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, dir, "zone", ixfrZone)
	cfg, _, err := config.Parse("meridian.yaml", []byte("zones: {example.com: {file: "+dir+"/zone}, example.org: {primaries: [{address: 192.0.2.1}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	data, report := zones.Compile(cfg)
	if data == nil {
		_, err := report.Join()
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	return &instance{
		Daemon: &Daemon{Logger: log}, control: control.New(nil, log), journals: transfer.NewJournals(log), updates: newZoneUpdates(),
		current: &generation{Generation: control.Generation{Snapshot: &snapshot.Snapshot{Config: cfg, Zones: data}}},
	}
}

func updateOf(t *testing.T, zone string) *updateJob {
	t.Helper()
	packet, err := new(dns.Msg).SetUpdate(zone).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return &updateJob{Update: &answer.Update{Packet: packet, Zone: dnsname.Name(zone), Key: "xfr."}}
}

// TestUpdateOfAZoneThatFailsLeavesOthers makes updates of a zone without data, of one that panics, and of another
// one.
func TestUpdateOfAZoneThatFailsLeavesOthers(t *testing.T) {
	l := updating(t)
	batch := []*updateJob{updateOf(t, "example.org."), updateOf(t, "example.com."), updateOf(t, "example.net.")}
	outcomes := make([]answer.UpdateOutcome, len(batch))
	makeAll := func() {
		for i, job := range batch {
			job.Ruled = true
			outcomes[i] = l.applyUpdate(job.Update)
		}
	}
	makeAll()
	for i, want := range []int{dns.RcodeServerFailure, dns.RcodeSuccess, dns.RcodeNotAuth} {
		if outcomes[i].Rcode != want {
			t.Errorf("zone %s: %+v, want %s", batch[i].Zone, outcomes[i], dns.RcodeToString[want])
		}
	}
	if outcomes[0].Reason != "the zone has no data" {
		t.Errorf("zone without data: %+v", outcomes[0])
	}
	request := &transfer.UpdateRequest{Packet: batch[0].Packet, Key: "xfr."}
	if u := transfer.NewEvaluator(l.current.Snapshot.Config, l.current.Snapshot.Zones, 1, journal.State{}).Evaluate(request); u.Rcode != dns.RcodeServerFailure {
		t.Errorf("zone without data, evaluated: %+v", u)
	}
	l.journals = nil // so that updates panic
	makeAll()
	for i, want := range []int{dns.RcodeServerFailure, dns.RcodeServerFailure, dns.RcodeNotAuth} {
		if outcomes[i].Rcode != want {
			t.Errorf("zone %s after a panic: %+v, want %s", batch[i].Zone, outcomes[i], dns.RcodeToString[want])
		}
	}
}

// TestZonesDoNotChangeWhileAProcessTakesOver has a transferred zone come while another process has the journals.
func TestZonesDoNotChangeWhileAProcessTakesOver(t *testing.T) {
	l := updating(t)
	l.closeJournals()
	if err := l.swapZones(l.current, l.current.Snapshot); !errors.Is(err, errSuspended) {
		t.Errorf("the zones are replaced: %v", err)
	}
	if !l.journals.Closed() {
		t.Error("the journals are open")
	}
	outcomes := l.makeUpdates("example.com.", []*updateJob{updateOf(t, "example.com.")})
	if outcomes[0].Rcode != dns.RcodeServerFailure {
		t.Errorf("an update: %+v", outcomes[0])
	}
	l.journals.Reopen(l.current.Snapshot.Config)
	served := false
	_ = l.journaled(l.current.Snapshot, func(*snapshot.Snapshot) error { served = true; return context.Canceled })
	if !served {
		t.Error("the zones cannot change after the other process failed")
	}
}
