package answer

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// TestCounterSetMatchesTheReference compares random counts with a plain slice, also when more counters are touched than
// the list holds.
func TestCounterSetMatchesTheReference(t *testing.T) {
	const size = 3 * maxTouched
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	s, want := newCounterSet(size), make([]uint64, size)
	for range 20 {
		for range rnd.IntN(5000) {
			i := rnd.IntN(1 + rnd.IntN(size))
			s.add(uint32(i))
			want[i]++
		}
		s.publish()
		got := make([]uint64, size)
		s.addTo(got)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("counter %d is %d, want %d", i, got[i], want[i])
			}
		}
	}
}

func TestQueriesAreCountedByWhatIsKnownOfThem(t *testing.T) {
	s := newEngine(answertest.World(t), nil)
	r := s.Responder()
	for _, c := range []struct {
		name   string
		qtype  uint16
		source string
		stream bool
	}{
		{"www.example.com.", dns.TypeA, "198.51.100.7", false},
		{"www.example.com.", dns.TypeAAAA, "2001:db8::7", false},
		{"www.example.com.", dns.TypeAAAA, "::ffff:198.51.100.7", true},
		{"mail.example.com.", dns.TypeANY, "2001:db8::7", true},
		{"www.example.org.", dns.TypeCAA, "198.51.100.7", false},
		{"www.example.com.", 65280, "198.51.100.7", false},
	} {
		r.Respond(nil, answertest.Packed(t, answertest.Ask(c.name, c.qtype)), netip.MustParseAddr(c.source), c.stream)
	}
	r.Respond(nil, []byte{1, 2}, answertest.BenchSource, false)
	n := s.Counters()
	if want := [TransportCount][familyCount]uint64{{4, 1}, {1, 1}}; n.Sources != want {
		t.Errorf("sources %v, want %v", n.Sources, want)
	}
	types := map[string]uint64{}
	for i, count := range n.Types {
		if count > 0 {
			types[queryTypeName(i)] = count
		}
	}
	if len(types) != 5 || types["A"] != 1 || types["AAAA"] != 2 || types["ANY"] != 1 || types["CAA"] != 1 || types["other"] != 2 {
		t.Errorf("types %v", types)
	}
	if n.Queries != 7 || n.NotQuery != 1 || n.Dropped != 1 || n.Rcodes[dns.RcodeSuccess] != 5 || n.Rcodes[dns.RcodeRefused] != 1 || n.SlowPath != 1 {
		t.Errorf("%+v", n)
	}
}

// members returns the counts of answers by pool/member, without those that are 0.
func members(t AnswerTotals) map[string]uint64 {
	found := map[string]uint64{}
	for names, n := range t.Members {
		if n > 0 {
			found[names.Pool+"/"+names.Member] += n
		}
	}
	return found
}

const countedConfig = `
server: {listen: ["127.0.0.1:0"]}
regions: {eu: {location: [53, 6]}}
pools:
  web: {policy: failover, members: [{name: a, region: eu, addresses: [192.0.2.1]}, {name: b, addresses: [192.0.2.2]}]}
  outer: {policy: failover, members: [{name: nested, pool: web}]}
  off: {policy: weighted, fail_open: never, members: [{name: a, addresses: [192.0.2.3], enabled: false}, {name: b, addresses: [192.0.2.4], weight: 0}]}
zones:
  example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web}, outer: {pool: outer}, off: {pool: off}}}
  example.org: {nameservers: {ns1.example.net: []}, contact: a@example.com}
`

func TestAnswersAreCountedByZonePoolAndMember(t *testing.T) {
	for _, slow := range []bool{false, true} {
		s := newEngine(answertest.Build(t, countedConfig, ""), nil)
		r := s.Responder()
		r.slowOnly = slow
		for _, name := range []string{"www.example.com.", "www.example.com.", "outer.example.com.", "off.example.com.", "none.example.com.", "example.org.", "example.net."} {
			r.Respond(nil, answertest.Packed(t, answertest.Ask(name, dns.TypeA)), answertest.BenchSource, false)
		}
		got := s.AnswerTotals()
		for zone, want := range map[string]uint64{"example.com.": 5, "example.org.": 1} {
			if got.Zones[zone] != want {
				t.Errorf("slow %v, zone %s: %d, want %d", slow, zone, got.Zones[zone], want)
			}
		}
		for pool, want := range map[PoolMode]uint64{{"web", "normal"}: 2, {"outer", "normal"}: 1, {"off", "nodata"}: 1, {"off", "normal"}: 0} {
			if n, ok := got.Pools[pool]; n != want || !ok {
				t.Errorf("slow %v, pool %v: %d %v, want %d", slow, pool, n, ok, want)
			}
		}
		for names, want := range map[pools.MemberNames]uint64{{Pool: "web", Member: "a", Region: "eu"}: 3, {Pool: "outer", Member: "nested"}: 1, {Pool: "web", Member: "b"}: 0} {
			if n, ok := got.Members[names]; n != want || !ok {
				t.Errorf("slow %v, member %v: %d %v, want %d", slow, names, n, ok, want)
			}
		}
	}
}

func TestReloadKeepsCountsOfRemovedMembersInSums(t *testing.T) {
	s := newEngine(answertest.Build(t, countedConfig, ""), nil)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	ended, idle := s.Responder(), s.Responder()
	for range 3 {
		ended.Respond(nil, query, answertest.BenchSource, false)
		idle.Respond(nil, query, answertest.BenchSource, false)
	}
	s.responders.remove(ended)
	if n := members(s.AnswerTotals()); n["web/a"] != 6 {
		t.Errorf("after a responder was removed: %v", n)
	}
	without := answertest.Build(t, `
server: {listen: ["127.0.0.1:0"]}
pools: {web: {policy: failover, members: [{name: b, addresses: [192.0.2.2]}]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web}}}}
`, "")
	s.Replace(without)()
	idle.Respond(nil, query, answertest.BenchSource, false)
	got := s.AnswerTotals()
	if n := members(got); len(n) != 2 || n["web/"] != 6 || n["web/b"] != 1 {
		t.Errorf("members %v, want 6 of removed ones and 1 of b", n)
	}
	if got.Members[pools.MemberNames{Pool: "web", Region: "eu"}] != 6 {
		t.Errorf("the region of removed members is lost: %v", got.Members)
	}
	if _, ok := got.Pools[PoolMode{"outer", "normal"}]; ok || got.Zones["example.com."] != 7 {
		t.Errorf("pools %v, zones %v", got.Pools, got.Zones)
	}
}

// TestNoCountIsLostDuringReloads counts on several responders while snapshots change.
func TestNoCountIsLostDuringReloads(t *testing.T) {
	worlds := [2]*snapshot.Snapshot{answertest.Build(t, countedConfig, ""), answertest.Build(t, countedConfig, "")}
	s := newEngine(worlds[0], nil)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	const responders, each = 4, 500
	var running sync.WaitGroup
	for range responders {
		running.Go(func() {
			r := s.Responder()
			defer s.responders.remove(r)
			for range each {
				r.Respond(nil, query, answertest.BenchSource, false)
			}
		})
	}
	last := uint64(0)
	for i := range 30 {
		s.Replace(worlds[(i+1)%2])()
		n := members(s.AnswerTotals())["web/a"]
		if n < last {
			t.Errorf("the count went from %d to %d", last, n)
		}
		last = n
	}
	running.Wait()
	got := s.AnswerTotals()
	if n := members(got)["web/a"]; n != responders*each || got.Zones["example.com."] != n || got.Pools[PoolMode{"web", "normal"}] != n {
		t.Errorf("%d, %v, %v; want %d each", n, got.Zones, got.Pools, responders*each)
	}
	if len(s.answers.live) != 1 {
		t.Errorf("%d snapshots are still counted, want 1", len(s.answers.live))
	}
}
