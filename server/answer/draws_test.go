package answer

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/pools"
	"meridian/server/answer/answertest"
)

const chainOfPools = `
pools:
  split: {policy: weighted, members: [{name: blue, cname: blue.example.com}, {name: green, cname: green.example.com}]}
  blue: {policy: weighted, members: [{name: b1, addresses: [192.0.2.1]}, {name: b2, addresses: [192.0.2.2]}]}
  green: {policy: weighted, members: [{name: g1, addresses: [192.0.2.11]}, {name: g2, addresses: [192.0.2.12]}]}
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: split}, blue: {pool: blue}, green: {pool: green}}
`

// Each pool of a chain of CNAMEs makes a draw of its own. Of 4000 answers each address of half a
// half gets a quarter, within five standard deviations of 27. Each answer is exactly the pools'
// decision by the draws of the two hops, both served and explained.
func TestChainedPoolsDrawIndependently(t *testing.T) {
	snapshot := answertest.Build(t, chainOfPools, answertest.LoneZone)
	const answers = 4000
	rnd := rand.New(rand.NewPCG(1, 2))
	var draw uint64
	r := newEngine(snapshot, func() uint64 { return draw }).Responder()
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	scratch := snapshot.Pools.Scratch()
	decide := func(pool pools.ID, hop int) *pools.Scratch {
		snapshot.Pools.Decide(pools.Request{Pool: pool, Answers: 1, Draw: pools.DrawOfHop(draw, hop)}, scratch)
		return scratch
	}
	got := map[string]int{}
	for range answers {
		draw = rnd.Uint64()
		var m dns.Msg
		if err := m.Unpack(r.Respond(nil, query, answertest.BenchSource, false)); err != nil {
			t.Fatal(err)
		}
		served := explained(m.Answer)
		got[served[1].Data]++
		next := pools.ID(1)
		if dnsname.Wire(decide(0, 0).CName).String() == "green.example.com." {
			next = 2
		}
		if want := decide(next, 1).Addrs[0].String(); served[1].Data != want {
			t.Fatalf("draw %#x: answered %v, the pools decide %s", draw, served, want)
		}
		if e := Trace(snapshot, ExplainQuery{Name: dnsname.Name("www.example.com."), Type: dns.TypeA, Resolver: answertest.BenchSource, Draw: &draw}); e.Answers[1] != served[1] {
			t.Fatalf("draw %#x: answered %v, explained %v", draw, served, e.Answers)
		}
	}
	for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.11", "192.0.2.12"} {
		if n := got[address]; n < answers/4-5*27 || n > answers/4+5*27 {
			t.Errorf("%s came in %d of %d answers, want about a quarter", address, n, answers)
		}
	}
}

const fourInTurn = `
pools:
  web:
    policy: round-robin
    members: [{name: a, addresses: [192.0.2.1]}, {name: b, addresses: [192.0.2.2]}, {name: c, addresses: [192.0.2.3]}, {name: d, addresses: [192.0.2.4]}]
zones:
  example.com:
    file: example.com.zone
    names: {www: {pool: web}}
`

// The first answer of a new responder, and that of an old one after a reload, is any member's
// with equal probability: 400 answers, within five standard deviations of 8.7. The following
// answers go on in turn.
func TestRoundRobinStartsAtRandomMember(t *testing.T) {
	const starts = 400
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	last := func(r *Responder) byte {
		answer := r.Respond(nil, query, netip.MustParseAddr("127.0.0.1"), false)
		return answer[len(answer)-1]
	}
	snapshot := answertest.Build(t, fourInTurn, answertest.LoneZone)
	server := newEngine(snapshot, rand.New(rand.NewPCG(1, 2)).Uint64)
	old := server.Responder()
	for _, c := range []struct {
		what  string
		start func() *Responder
	}{
		{"a new responder", server.Responder},
		{"a reload", func() *Responder { next := *snapshot; server.Replace(&next)(); return old }},
	} {
		var first [5]int
		for range starts {
			r := c.start()
			before := last(r)
			first[before]++
			for range 4 {
				now := last(r)
				if now != before%4+1 {
					t.Fatalf("%s: member %d follows member %d", c.what, now, before)
				}
				before = now
			}
		}
		for member, n := range first[1:] {
			if n < starts/4-43 || n > starts/4+43 {
				t.Errorf("%s started at member %d in %d of %d cases, want about a quarter", c.what, member+1, n, starts)
			}
		}
	}
}
