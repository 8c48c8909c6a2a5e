package answer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnssec"
	"meridian/server/answer/answertest"
)

// manyMembers is a pool of 20 members with different weights, of which an answer has three.
func manyMembers() string {
	var b strings.Builder
	b.WriteString("pools:\n  web:\n    policy: weighted\n    answers: 3\n    members:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "      - {name: m%d, addresses: [192.0.2.%d], weight: %d}\n", i, i+1, 1+i%4)
	}
	b.WriteString("  one: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}, {name: b, addresses: [192.0.2.2]}]}\n")
	b.WriteString("zones:\n  example.com:\n    file: example.com.zone\n    variety: 8\n    names: {www: {pool: web}, one: {pool: one}}\n")
	return b.String()
}

// TestSignedDrawsAreBounded checks that signed answers have at most variety sets, that answers without signatures are
// not bounded, and that the draw of one address is not changed.
func TestSignedDrawsAreBounded(t *testing.T) {
	s := answertest.Build(t, manyMembers(), answertest.LoneZone)
	signWorld(t, s, dnssec.Compact)
	p := newPaths(s)
	rnd := rand.New(rand.NewPCG(1, 2))
	setsOf := func(name string, do bool) map[string]int {
		query := answertest.Ask(name, dns.TypeA)
		if do {
			query.SetEdns0(1232, true)
		}
		packet, sets := answertest.Packed(t, query), map[string]int{}
		for range 400 {
			p.draw = rnd.Uint64()
			p.compare(t, packet, answertest.BenchSource, false)
			var answer dns.Msg
			if err := answer.Unpack(p.last); err != nil {
				t.Fatal(err)
			}
			var addrs []string
			for _, rr := range answer.Answer {
				if a, ok := rr.(*dns.A); ok {
					addrs = append(addrs, a.A.String())
				}
			}
			slices.Sort(addrs)
			sets[strings.Join(addrs, " ")]++
		}
		return sets
	}
	if sets := setsOf("www.example.com.", true); len(sets) > 16 || len(sets) < 4 { // twice as many if the sets change during the test
		t.Errorf("%d different signed sets, want at most 8", len(sets))
	}
	if sets := setsOf("www.example.com.", false); len(sets) < 100 {
		t.Errorf("%d different sets without signatures, want many", len(sets))
	}
	if sets := setsOf("one.example.com.", true); len(sets) != 2 || sets["192.0.2.1"] < 150 || sets["192.0.2.1"] > 250 {
		t.Errorf("%v, want two sets, each about half of the time", sets)
	}
}

// The first draws of a bounded pool divide the range evenly: of 32 draws, a member with a quarter of the weight has 8.
func TestBoundedDrawsKeepWeights(t *testing.T) {
	s := answertest.Build(t, `
pools:
  web: {policy: weighted, answers: 2, members: [{name: a, addresses: [192.0.2.1], weight: 1}, {name: b, addresses: [192.0.2.2], weight: 1}, {name: c, addresses: [192.0.2.3], weight: 2}]}
zones: {example.com: {file: example.com.zone, variety: 32, names: {www: {pool: web}}}}
`, answertest.LoneZone)
	signWorld(t, s, dnssec.Compact)
	active := newActiveSnapshot(s)
	match := active.zones.Lookup([]byte("\x03www\x07example\x03com\x00"), dns.TypeA)
	binding, _ := active.zones.Balanced(match.Node)
	scratch := s.Pools.Scratch()
	for _, now := range []int64{0, 1_800_000_000, 1_800_000_600} {
		first := map[byte]int{}
		for k := range uint64(32) {
			a := reply{poolDraw: active.variety.bound(match.Zone, binding, k<<59+1, now)}
			asked := a.request(binding, dns.TypeA, answertest.BenchSource)
			asked.Answers = 1
			s.Pools.Decide(asked, scratch)
			first[scratch.Addrs[0].As4()[3]]++
		}
		if first[1] < 7 || first[1] > 9 || first[3] < 15 || first[3] > 17 {
			t.Errorf("at %d: %v, want 8, 8 and 16", now, first)
		}
	}
}
