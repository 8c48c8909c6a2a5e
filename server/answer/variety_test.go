package answer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
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
	b.WriteString("zones:\n  example.com:\n    file: example.com.zone\n    variety: 8\n    names: {www: {pool: web}, \"*.w\": {pool: web}, one: {pool: one}}\n")
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
	if sets := setsOf("www.example.com.", true); len(sets) > 8 || len(sets) < 4 {
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
	owner := dnsname.Wire("\x03www\x07example\x03com\x00")
	match := active.zones.Lookup(owner, dns.TypeA)
	binding := active.zones.Balanced(match.Node)
	scratch := s.Pools.Scratch()
	for _, now := range []int64{0, 1_800_000_000, 1_800_000_600} {
		first := map[byte]int{}
		for k := range uint64(32) {
			a := reply{poolDraw: active.variety.bound(match.Zone, binding, owner, k<<59+1, now)}
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

// The draws of each name change once in a period, each at its own second, and in the same second on both paths: those
// of a wildcard with one signature for all its names together, those of names with signatures of their own apart.
func TestBoundedDrawsChangeAtTheTimeOfTheirName(t *testing.T) {
	for _, denial := range []dnssec.Denial{dnssec.Compact, dnssec.Chain} {
		s := answertest.Build(t, manyMembers(), answertest.LoneZone)
		signWorld(t, s, denial)
		p := newPaths(s)
		p.draw = 1 << 40
		seconds := map[int64]bool{}
		for _, name := range []string{"www.example.com.", "a.w.example.com.", "b.w.example.com.", "WWW.example.com."} {
			seconds[secondOfChange(t, p, name)] = true
		}
		if want := map[dnssec.Denial]int{dnssec.Compact: 3, dnssec.Chain: 2}[denial]; len(seconds) != want {
			t.Errorf("%v: the draws change at %v, want %d different times", denial, seconds, want)
		}
	}
}

// secondOfChange returns the second in which the draws of a name change, which is one of any varietyPeriod.
func secondOfChange(t *testing.T, p *paths, name string) int64 {
	const begin = int64(1_800_000_300)
	query := answertest.Ask(name, dns.TypeA)
	query.SetEdns0(1232, true)
	packet := answertest.Packed(t, query)
	addresses := func(at int64) string {
		p.time = time.Unix(at, 0)
		p.compare(t, packet, answertest.BenchSource, false)
		var answer dns.Msg
		if err := answer.Unpack(p.last); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(answer.Answer[:3])
	}
	from, to := begin, begin+varietyPeriod
	old, next := addresses(from), addresses(to)
	if old == next {
		t.Fatalf("%s: the same draw in both periods: %s", name, old)
	}
	for to-from > 1 {
		middle := (from + to) / 2
		switch addresses(middle) {
		case old:
			from = middle
		case next:
			to = middle
		default:
			t.Fatalf("%s: a third draw within a period", name)
		}
	}
	return to
}
