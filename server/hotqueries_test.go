package server

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/health"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

func TestHotQueriesAreBoundedAndForgotten(t *testing.T) {
	h := newHotQueries()
	now := time.Now()
	for n := range uint64(maxHot + 10) {
		h.add(hotQuery{id: n, draw: n, until: now.Add(hotLifetime)})
		h.add(hotQuery{id: n, draw: n, until: now.Add(hotLifetime)}) // the same again
	}
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
	text := strings.NewReplacer("DENIAL", "nsec", "policy: weighted", "policy: failover, check: c", "pools:\n", "checks: {c: {type: tcp, port: 1}}\npools:\n").Replace(signedConfig)
	built := answertest.Build(t, text, signedZone)
	s := serve(t, built, false, "127.0.0.1:0")
	ask := func(want string) {
		t.Helper()
		q := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
		q.SetEdns0(1232, true)
		a, err := counterpart.Exchange(q, s.Addrs()[0].String())
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

// Queries for one name and type that have the same records are one hot query. Those that deny, and those of names with
// signatures of their own, are none.
func TestHotQueriesAreOneForAnAnswer(t *testing.T) {
	const pools = "zones:\n  other.example: {nameservers: {ns.example.net: []}, contact: a@example.com, dnssec: default, names: {x: {pool: web}}}\n"
	for _, denial := range []string{"compact", "nsec"} {
		text := strings.NewReplacer("DENIAL", denial, "policy: weighted", "policy: all", "zones:\n", pools).Replace(signedConfig)
		s := New(answertest.Build(t, text, signedZone), Options{})
		identify := func(name string, qtype uint16, options ...dns.EDNS0) (id uint64, ok bool) {
			q := answertest.WithOptions(answertest.Ask(name, qtype), options...)
			q.IsEdns0().SetDo()
			r := s.Responder()
			r.Acquire()
			defer r.Release()
			return s.hot.identify(r, r.Answer(nil, answertest.Packed(t, q), answertest.BenchSource, false))
		}
		id, ok := identify("www.example.com.", dns.TypeA)
		for range 20 { // in each order of the addresses
			cookie := answertest.RawOption(dns.EDNS0COOKIE, 1, 2, 3, 4, 5, 6, 7, 8)
			subnet := answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 51, 100)
			if again, _ := identify("wWw.eXample.com.", dns.TypeA, cookie, subnet); !ok || again != id {
				t.Fatalf("%s: another query of the same answer", denial)
			}
		}
		seen := map[uint64]string{id: "www.example.com."}
		for _, q := range []struct {
			name    string
			qtype   uint16
			compact bool // it is remembered, with compact denial
			chain   bool // the same with an NSEC chain
		}{
			{"www.example.com.", dns.TypeAAAA, true, true},
			{"example.com.", dns.TypeA, true, true},
			{"x.other.example.", dns.TypeA, true, true},
			{"alias.example.com.", dns.TypeA, true, true},
			{"x.t.example.com.", dns.TypeA, false, true},
			{"x.t.example.com.", dns.TypeHTTPS, false, true},
			{"x.tree.example.com.", dns.TypeA, false, true},
			{"txt.example.com.", dns.TypeA, false, false},
			{"nothing.example.com.", dns.TypeA, false, false},
		} {
			id, ok := identify(q.name, q.qtype)
			if want := denial == "compact" && q.compact || denial == "nsec" && q.chain; ok != want {
				t.Errorf("%s: %s %s is remembered: %t, want %t", denial, q.name, dns.Type(q.qtype), ok, want)
			}
			if before := seen[id]; ok && before != "" {
				t.Errorf("%s: %s is the same query as %s", denial, q.name, before)
			}
			seen[id] = q.name
		}
	}
}

// Signatures of the next bounded draws are made before the draws change.
func TestNextDrawsAreSignedBeforeTheyAreUsed(t *testing.T) {
	var members []string
	for i := range 20 {
		members = append(members, fmt.Sprintf("{name: m%d, addresses: [192.0.2.%d]}", i, i+1))
	}
	text := `
dnssec: {keys: keys, policies: {default: {variety: 8}}}
pools: {web: {policy: weighted, answers: 3, members: [` + strings.Join(members, ", ") + `]}}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: a@example.com, dnssec: default, names: {www: {pool: web}, ftp: {pool: web}}}
`
	s := New(answertest.Build(t, text, ""), Options{})
	synctest.Test(t, func(t *testing.T) {
		r := s.Responder()
		sets := map[string]bool{}
		ask := func() {
			for _, name := range []string{"www.example.com.", "ftp.example.com."} {
				q := answertest.Ask(name, dns.TypeA)
				q.SetEdns0(1232, true)
				for draw := range uint64(8) {
					packet := answertest.Packed(t, q)
					r.Acquire()
					out := r.AnswerPostponed(nil, packet, answertest.BenchSource, draw<<61)
					r.Release()
					s.hot.add(hotQuery{id: draw<<1 | uint64(name[0]&1), packet: packet, source: answertest.BenchSource, draw: draw << 61, until: time.Now().Add(hotLifetime)})
					if len(out) > 0 {
						sets[string(out[answer.HeaderSize:])] = true
					}
				}
			}
		}
		ask() // makes the first signatures
		missed := 0
		r.Postpone = func([]byte, uint64) bool { missed++; return true }
		ctx, cancel := context.WithCancel(t.Context())
		go s.rehearse(ctx)
		for range 200 {
			time.Sleep(7 * time.Second)
			ask()
		}
		cancel()
		if missed > 0 || len(sets) < 40 {
			t.Errorf("%d answers had no signature, of %d different ones", missed, len(sets))
		}
	})
}

// A server that has ended answers no hot query any more.
func TestServeWaitsForTheRehearsal(t *testing.T) {
	s := listen(t, answertest.World(t), false, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	<-s.Serving()
	awaitStack(t, func(stack string) bool { // the rehearsal has seen the first snapshot
		return strings.Contains(stack, "(*Server).rehearse(") && strings.Contains(stack, "[select")
	})
	s.hot.mu.Lock()
	next := answertest.World(t)
	listenOn(next, "127.0.0.1:0")
	if _, err := s.Swap(next); err != nil { // the rehearsal looks for hot queries
		t.Fatal(err)
	}
	awaitStack(t, func(stack string) bool { return strings.Contains(stack, "(*hotQueries).current(") })
	cancel()
	awaitStack(t, func(stack string) bool {
		return len(done) > 0 || strings.Contains(stack, "(*WaitGroup).Wait(") && strings.Contains(stack, "(*Server).Serve(") && !strings.Contains(stack, "(*Server).drain(")
	})
	if len(done) > 0 {
		t.Error("Serve ended before the rehearsal")
	}
	s.hot.mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// awaitStack waits until the stack of some goroutine is the one that is looked for.
func awaitStack(t *testing.T, found func(stack string) bool) {
	t.Helper()
	counterpart.Await(t, func() error {
		stacks := make([]byte, 1<<20)
		all := string(stacks[:runtime.Stack(stacks, true)])
		if !slices.ContainsFunc(strings.Split(all, "\n\n"), found) {
			return errors.New(all)
		}
		return nil
	})
}
