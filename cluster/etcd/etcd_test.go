package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"meridian/cluster"
	"meridian/cluster/observation"
	"meridian/counterpart"
)

func open(t *testing.T, port int, name string) *Store {
	t.Helper()
	s, err := Open(Options{
		Endpoints: []string{fmt.Sprintf("http://127.0.0.1:%d", port)}, Prefix: "/meridian/", Cluster: name,
		Patience: cluster.Patience{Quiet: time.Hour, Answer: time.Hour, End: time.Hour}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// watch returns the updates that a store receives until the test ends.
func watch(t *testing.T, s *Store) <-chan cluster.Update {
	t.Helper()
	updates := make(chan cluster.Update, 1000)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Watch(ctx, func(u cluster.Update) { updates <- u }) }()
	t.Cleanup(func() { stop(); <-ended })
	return updates
}

// next returns the next update for which want is true.
func next(t *testing.T, updates <-chan cluster.Update, what string, want func(cluster.Update) bool) cluster.Update {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case u := <-updates:
			if want(u) {
				return u
			}
		case <-limit:
			t.Fatalf("no update: %s", what)
		}
	}
}

func has(value string, live bool) func(cluster.Update) bool {
	return func(u cluster.Update) bool {
		return u.Live == live && len(u.Values) > 0 && string(u.Values[len(u.Values)-1]) == value
	}
}

func publish(t *testing.T, s *Store, records ...observation.Record) {
	t.Helper()
	if err := s.Publish(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func TestStoreCarriesRecords(t *testing.T) {
	counterpart.Find(t, "etcd")
	dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
	stop := counterpart.StartEtcd(t, dir, ports)
	here, there := open(t, ports[0], "prod"), open(t, ports[0], "prod")

	publish(t, here, observation.Record{Key: "beat/ams1", Value: []byte("heartbeat")}, observation.Record{Key: "obs/ams1/00", Value: []byte("block")})
	updates := watch(t, there)
	stored := next(t, updates, "the stored records", func(u cluster.Update) bool { return u.Connected })
	if len(stored.Values) != 2 || string(stored.Values[0]) != "block" || stored.Live {
		t.Errorf("stored: %q, live %v; want the block first", stored.Values, stored.Live)
	}

	var many []observation.Record
	for i := range 257 { // more than a transaction may have
		many = append(many, observation.Record{Key: fmt.Sprintf("obs/ams1/%03x", i), Value: []byte(fmt.Sprint(i))})
	}
	publish(t, open(t, ports[0], "other"), observation.Record{Key: "beat/ams1", Value: []byte("of another cluster")})
	publish(t, here, many...)
	for i := 0; i < len(many); {
		u := next(t, updates, "a live record", func(u cluster.Update) bool { return u.Live })
		for _, v := range u.Values {
			if string(v) != fmt.Sprint(i) {
				t.Fatalf("record %d: %q", i, v)
			}
			i++
		}
	}

	// etcd starts again: all is read again, even if the client does not notice that the connection is lost
	again := open(t, ports[0], "prod")
	again.Patience = cluster.Patience{Quiet: 100 * time.Millisecond, Answer: 5 * time.Second, End: 300 * time.Millisecond}
	updates = watch(t, again)
	next(t, updates, "the stored records", func(u cluster.Update) bool { return u.Connected })
	stop()
	next(t, updates, "the loss of the connection", func(u cluster.Update) bool { return !u.Connected })
	counterpart.StartEtcd(t, dir, ports)
	next(t, updates, "the new connection", func(u cluster.Update) bool { return u.Connected && len(u.Values) == 259 })
	publish(t, here, observation.Record{Key: "beat/ams1", Value: []byte("again")})
	next(t, updates, "a record after that", func(u cluster.Update) bool {
		return has("again", true)(u) || len(u.Values) == 259 && string(u.Values[258]) == "again"
	})
}

func TestWatchThatWasCompactedReadsAllAgain(t *testing.T) {
	counterpart.Find(t, "etcd")
	dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
	counterpart.StartEtcd(t, dir, ports)
	s := open(t, ports[0], "prod")
	publish(t, s, observation.Record{Key: "beat/ams1", Value: []byte("1")})
	s.Patience = cluster.Patience{Quiet: 100 * time.Millisecond, Answer: 5 * time.Second, End: 300 * time.Millisecond}
	updates := watch(t, s)
	next(t, updates, "the stored record", has("1", false))
	for i := range 3 {
		publish(t, s, observation.Record{Key: "beat/ams1", Value: []byte(fmt.Sprint("next ", i))})
	}
	at, err := s.client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Compact(t.Context(), at.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	next(t, updates, "the end of a silent watch", func(u cluster.Update) bool { return !u.Connected })
	next(t, updates, "the last record, read again", has("next 2", false))
}

// The reconnection reports its errors and tries again; a node starts without etcd.
func TestStoreOpensWithoutEtcd(t *testing.T) {
	s := open(t, counterpart.FreePorts(t, 1)[0], "prod")
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if err := s.Publish(ctx, []observation.Record{{Key: "beat/a", Value: []byte("x")}}); err == nil {
		t.Error("published without etcd")
	}
}

func TestTableWritesUnlessChanged(t *testing.T) {
	counterpart.Find(t, "etcd")
	dir, ports := t.TempDir(), counterpart.FreePorts(t, 2)
	stop := counterpart.StartEtcd(t, dir, ports)
	here, there := open(t, ports[0], "prod"), open(t, ports[0], "prod")
	there.Patience = cluster.Patience{Quiet: 100 * time.Millisecond, Answer: 5 * time.Second, End: 300 * time.Millisecond}
	received := make(chan TableUpdate, 1000)
	there.Table("overrides", func(u TableUpdate) { received <- u })
	expect := func(what string, want func(TableUpdate) bool) TableUpdate {
		t.Helper()
		limit := time.After(time.Minute)
		for {
			select {
			case u := <-received:
				if want(u) {
					return u
				}
			case <-limit:
				t.Fatalf("no update: %s", what)
			}
		}
	}
	table := here.Table("overrides", nil)
	if err := table.Put(t.Context(), Entry{Key: "applied/ams1", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	watch(t, there)
	all := expect("the stored entry", func(u TableUpdate) bool { return u.Complete })
	if len(all.Entries) != 1 || all.Entries[0].Key != "applied/ams1" || !all.Connected {
		t.Errorf("stored: %+v", all)
	}
	first, err := table.PutIfUnchanged(t.Context(), "records/", all.Revision, []Entry{{Key: "records/web", Value: []byte("drained")}})
	if err != nil {
		t.Fatal(err)
	}
	live := expect("the written entry", func(u TableUpdate) bool { return len(u.Entries) > 0 })
	if live.Complete || live.Entries[0].Key != "records/web" || string(live.Entries[0].Value) != "drained" || live.Revision < first {
		t.Errorf("written: %+v, at revision %d", live, first)
	}
	if _, err := table.PutIfUnchanged(t.Context(), "records/", all.Revision, []Entry{{Key: "records/api", Value: []byte("drained")}}); !errors.Is(err, ErrChanged) {
		t.Errorf("a write after another one: %v, want ErrChanged", err)
	}
	if err := table.Put(t.Context(), Entry{Key: "applied/ams1", Value: []byte("2")}); err != nil { // not below the guard
		t.Fatal(err)
	}
	if _, err := table.PutIfUnchanged(t.Context(), "records/", first, []Entry{{Key: "records/api", Value: []byte("drained")}}); err != nil {
		t.Error(err)
	}
	stop()
	expect("the loss of the connection", func(u TableUpdate) bool { return !u.Connected })
	counterpart.StartEtcd(t, dir, ports)
	if again := expect("all entries", func(u TableUpdate) bool { return u.Complete }); len(again.Entries) != 3 {
		t.Errorf("after a restart: %+v", again)
	}
}
