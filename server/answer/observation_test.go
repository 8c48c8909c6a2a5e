package answer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// observedConfig returns loggedConfig with statistics of resolvers in place of the query log.
func observedConfig(settings string) string {
	return strings.Replace(loggedConfig, "query_log: {file: queries.json}", "resolver_stats: "+settings, 1)
}

// observations returns what is observed, one line for each answer.
func observationsOf(s *Engine) (lines []string) {
	s.DrainObservations(func(o *Observation) {
		members := ""
		for _, m := range o.Members {
			members += " " + m.Pool + "/" + m.Member
		}
		lines = append(lines, fmt.Sprintf("%v %v for %v %s TTL %d:%s", o.Resolver, o.Subnet, o.Clients, dns.TypeToString[o.Type], o.TTL, members))
	})
	return lines
}

func TestObservationHasTheMembersAndClientsOfTheAnswer(t *testing.T) {
	for _, slow := range []bool{false, true} {
		s := newEngine(answertest.Build(t, observedConfig("on"), ""), nil)
		r := s.Responder()
		r.slowOnly = slow
		for _, query := range []*dns.Msg{
			answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 203, 0, 113)),
			answertest.Ask("outer.example.com.", dns.TypeA),
			answertest.Ask("off.example.com.", dns.TypeA),
			answertest.Ask("none.example.org.", dns.TypeA),
		} {
			r.Respond(nil, answertest.Packed(t, query), answertest.BenchSource, false)
		}
		want := []string{
			"198.51.100.7 203.0.113.0/24 for invalid Prefix A TTL 30: web/a",
			"198.51.100.7 invalid Prefix for invalid Prefix A TTL 30: inner/b outer/nested",
			"198.51.100.7 invalid Prefix for invalid Prefix A TTL 30:",
		}
		if got := observationsOf(s); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("slow %v: observed\n%s\nwant\n%s", slow, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestObservationIsForTheScopeOfTheAnswer has two regions, so that the answer depends on the client.
func TestObservationIsForTheScopeOfTheAnswer(t *testing.T) {
	text := strings.Replace(observedConfig("on"), "regions: {eu: {location: [53, 6]}}", "regions: {eu: {location: [53, 6]}, us: {location: [39, -77]}}", 1)
	text = strings.Replace(text, "addresses: [192.0.2.1]}]", "addresses: [192.0.2.1]}, {name: u, region: us, addresses: [192.0.2.9]}]", 1)
	s := newEngine(answertest.Build(t, text, ""), nil)
	query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 28, 0, 203, 0, 113, 16))
	s.Responder().Respond(nil, answertest.Packed(t, query), answertest.BenchSource, false)
	count := 0
	s.DrainObservations(func(o *Observation) {
		count++
		if !o.Clients.IsValid() || o.Clients.Bits() > 28 || !o.Clients.Contains(netip.MustParseAddr("203.0.113.16")) || o.Subnet.String() != "203.0.113.16/28" {
			t.Errorf("clients %v of %v, want those that the answer is for", o.Clients, o.Subnet)
		}
	})
	if count != 1 {
		t.Errorf("%d observations, want 1", count)
	}
}

// TestAllQueriesOfASampledResolverAreObserved asks twice from each of 2000 addresses.
func TestAllQueriesOfASampledResolverAreObserved(t *testing.T) {
	s := newEngine(answertest.Build(t, observedConfig("{sample: 0.25}"), ""), nil)
	r, query := s.Responder(), answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	for range 2 {
		for i := range 2000 {
			r.Respond(nil, query, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), false)
		}
	}
	seen := map[netip.Addr]int{}
	s.DrainObservations(func(o *Observation) { seen[o.Resolver]++ })
	if n := len(seen); n < 400 || n > 600 { // 500 and 5 standard deviations
		t.Errorf("%d of 2000 resolvers are observed, want about 500", n)
	}
	for addr, n := range seen {
		if n != 2 {
			t.Errorf("%d of 2 queries of %v are observed", n, addr)
		}
	}
}

func TestFullObservationRingLosesAnswersAndCountsThem(t *testing.T) {
	s := newEngine(answertest.Build(t, observedConfig("on"), ""), nil)
	r := s.Responder()
	query, out := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), make([]byte, 0, 512)
	for range observationRecords + 7 { // nothing reads
		out = r.Respond(out[:0], query, answertest.BenchSource, false)
	}
	if n := s.Counters().Unobserved; n != 7 {
		t.Errorf("%d answers are counted as lost, want 7", n)
	}
	if n := len(observationsOf(s)); n != observationRecords {
		t.Errorf("%d are observed, want %d", n, observationRecords)
	}
	if n := testing.AllocsPerRun(100, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
		t.Errorf("%v allocations an observed query", n)
	}
	s.Remove(r)
	if n := len(observationsOf(s)); n == 0 || len(s.observations.rings.current()) != 0 {
		t.Errorf("%d observations of the removed responder, %d rings", n, len(s.observations.rings.rings))
	}
}
