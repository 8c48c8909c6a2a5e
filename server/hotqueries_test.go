package server

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/counterpart"
	"meridian/health"
	"meridian/snapshot"
)

func TestHotQueriesAreBoundedAndForgotten(t *testing.T) {
	h := newHotQueries()
	now, source := time.Now(), netip.MustParseAddr("192.0.2.1")
	answered := func(n int, records byte) []byte {
		out := make([]byte, 16)
		out[7] = records
		binary.BigEndian.PutUint32(out[12:], uint32(n))
		return out
	}
	for n := range maxHot + 10 {
		h.add([]byte("query"), answered(n, 1), source, uint64(n), now)
		h.add([]byte("query"), answered(n, 1), source, uint64(n), now) // the same again
	}
	h.add([]byte("query"), answered(-1, 0), source, 0, now) // without an answer
	all := h.current(now)
	if len(all) != maxHot || len(h.at) != maxHot {
		t.Fatalf("%d queries, %d by answer, want %d", len(all), len(h.at), maxHot)
	}
	if all[0].draw != maxHot || all[10].draw != 10 {
		t.Errorf("the oldest are not replaced first: %d, %d", all[0].draw, all[10].draw)
	}
	if left := h.current(now.Add(hotLifetime)); len(left) != 0 {
		t.Errorf("%d queries after their lifetime", len(left))
	}
}

// After a state change, a server makes the new signatures of hot queries before clients ask for them.
func TestStateChangeSignsHotQueriesAgain(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.com.zone"), []byte(signedZone), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("DENIAL", "nsec", "policy: weighted", "policy: failover, check: c", "pools:\n", "checks: {c: {type: tcp, port: 1}}\npools:\n").Replace(signedConfig)
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	built, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer built.Close()
	s := New(built, Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context()) }()
	t.Cleanup(func() { <-done })
	ask := func(want string) {
		t.Helper()
		q := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
		q.SetEdns0(1232, true)
		a, err := dns.Exchange(q, s.Addrs()[0].String())
		if err != nil || len(a.Answer) != 2 || a.Answer[0].(*dns.A).A.String() != want {
			t.Fatalf("%v %v, want %s", a, err, want)
		}
	}
	ask("192.0.2.1")
	changes, err := built.Pools.SimulateVerdict("web", "a", health.Down)
	if err != nil {
		t.Fatal(err)
	}
	counterpart.Await(t, func() error { // it is remembered after the answer was sent
		if len(s.hot.current(time.Now())) != 1 {
			return fmt.Errorf("the query is not remembered")
		}
		return nil
	})
	before := s.Counters()
	built.Pools.Apply(changes)
	counterpart.Await(t, func() error {
		if n := s.Counters().Signed; n != before.Signed+1 {
			return fmt.Errorf("%d signatures made, want one more than %d", n, before.Signed)
		}
		return nil
	})
	ask("192.0.2.2")
	if n := s.Counters(); n.SignatureHits != before.SignatureHits+1 || n.Queries != before.Queries+1 {
		t.Errorf("%d hits and %d queries, want one more than %d and %d", n.SignatureHits, n.Queries, before.SignatureHits, before.Queries)
	}
}
