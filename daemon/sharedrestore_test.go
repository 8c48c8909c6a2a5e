package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"meridian/cluster"
	"meridian/cluster/etcd"
	"meridian/control"
	"meridian/counterpart"
)

// sharedWith returns overrides that are shared over an etcd, as far as they are written without a node.
func sharedWith(t *testing.T, port int, receive func(etcd.TableUpdate)) *sharedOverrides {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := etcd.Open(etcd.Options{Endpoints: []string{fmt.Sprintf("http://127.0.0.1:%d", port)}, Prefix: "/meridian", Cluster: "prod", Patience: cluster.Patience{Quiet: time.Hour, Answer: time.Hour, End: time.Hour}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &sharedOverrides{node: "ams1", log: log, stored: map[string]storedRecord{}, table: store.Table(overrideTable, receive)}
	watched := make(chan struct{})
	go func() { defer close(watched); store.Watch(ctx, func(cluster.Update) {}) }()
	t.Cleanup(func() { stop(); <-watched; store.Close() })
	return s
}

// A node that writes what etcd has lost replaces nothing that another node has written since, and nothing that it cannot read.
// What ended long ago is removed from etcd, unless it has changed.
func TestLostSharedOverridesReplaceNothingNewer(t *testing.T) {
	counterpart.Find(t, "etcd")
	ports := counterpart.FreePorts(t, 2)
	counterpart.StartEtcd(t, t.TempDir(), ports)
	updates := make(chan etcd.TableUpdate, 1000)
	s := sharedWith(t, ports[0], func(u etcd.TableUpdate) { updates <- u })
	record := func(revision uint64) control.SharedRecord {
		r := someRecord()
		r.Revision = revision
		return r
	}
	put := func(r control.SharedRecord) error { return s.restore(t.Context(), []control.SharedRecord{r}) }
	// see waits until the record in etcd has a revision, and notes it unless it is only looked at; 0: it is removed
	see := func(revision uint64, note bool) {
		t.Helper()
		for limit := time.After(time.Minute); ; {
			select {
			case u := <-updates:
				r := s.read(u.Entries)
				if note {
					s.keep(&r, u.Complete)
				}
				if revision == 0 && len(r.deleted) > 0 || revision != 0 && r.stored[someRecord().Key].revision == revision {
					return
				}
			case <-limit:
				t.Fatalf("etcd never has revision %d", revision)
			}
		}
	}
	if err := put(record(5)); err != nil {
		t.Fatal(err)
	}
	see(5, false)
	if err := put(record(6)); !errors.Is(err, etcd.ErrChanged) {
		t.Errorf("over what this node has not seen: %v, want ErrChanged", err)
	}
	if err := s.table.Put(t.Context(), encodeRecords([]control.SharedRecord{record(8)})...); err != nil {
		t.Fatal(err)
	}
	see(8, true)
	if err := put(record(7)); err != nil { // it is not written
		t.Fatal(err)
	}
	if err := put(record(9)); err != nil {
		t.Fatal(err)
	}
	see(9, true)
	newer := encodeRecords([]control.SharedRecord{record(10)})[0]
	newer.Value = []byte(`{"of":"a later version"}`)
	if err := s.table.Put(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	see(unreadable, true)
	if err := put(record(11)); err != nil {
		t.Fatal(err)
	}
	old := etcd.Entry{Key: newer.Key, Revision: s.stored[someRecord().Key].modified}
	if err := s.table.DeleteIfSame(t.Context(), []etcd.Entry{{Key: old.Key, Revision: old.Revision - 1}}); !errors.Is(err, etcd.ErrChanged) {
		t.Errorf("removing what has changed: %v, want ErrChanged", err)
	}
	if err := s.table.DeleteIfSame(t.Context(), []etcd.Entry{old}); err != nil { // fails if record 11 was written
		t.Fatal(err)
	}
	see(0, true)
	if len(s.stored) != 0 {
		t.Errorf("stored: %v", s.stored)
	}
}

// Overrides that this node may not read are reported, and cannot be changed.
func TestForbiddenSharedOverridesAreReported(t *testing.T) {
	s := &sharedOverrides{applied: map[string]int64{}, changed: make(chan struct{}, 1), updated: make(chan struct{})}
	forbidden := errors.New("no right")
	s.note(etcd.TableUpdate{Err: forbidden}, received{}, nil)
	if err := s.write(nil); !errors.Is(err, forbidden) || !errors.Is(s.currentProblem(), forbidden) {
		t.Errorf("a write: %v, problem %v", err, s.currentProblem())
	}
	s.note(etcd.TableUpdate{Connected: true, Complete: true, Revision: 5}, received{}, nil)
	if err := s.currentProblem(); err != nil {
		t.Errorf("with the right: %v", err)
	}
}

// A node that may read the overrides, but not write, must not log each attempt.
func TestRefusedWriteOfSharedOverridesIsReportedOnce(t *testing.T) {
	var log bytes.Buffer
	s := &sharedOverrides{log: slog.New(slog.NewTextHandler(&log, nil))}
	forbidden := errors.New("no right")
	for range 3 {
		s.noteWrite(forbidden)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !errors.Is(s.currentProblem(), forbidden) {
		t.Errorf("%d lines, problem %v; log %s", n, s.currentProblem(), log.String())
	}
	s.noteWrite(etcd.ErrChanged)
	if err := s.currentProblem(); err != nil {
		t.Errorf("after another node was faster: %v", err)
	}
}
