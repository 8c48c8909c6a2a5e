package answer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// TestLogRingMatchesTheReference compares a ring with a plain queue, on random messages and reads.
func TestLogRingMatchesTheReference(t *testing.T) {
	type entry struct {
		port          uint16
		query, answer []byte
	}
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	random := func(most int) []byte {
		b := make([]byte, rnd.IntN(most))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	g, lost := newLogRing(), 0
	var queue []entry
	var buffer []byte
	for range 40 {
		for range rnd.IntN(400) {
			e := entry{uint16(rnd.Uint32()), random(300), random(8000)}
			if g.put(&record{port: e.port}, e.query, e.answer) {
				queue = append(queue, e)
			} else {
				lost++
			}
		}
		buffer = g.drain(buffer, func(r *record, query, answer []byte) {
			if len(queue) == 0 || r.port != queue[0].port || !bytes.Equal(query, queue[0].query) || !bytes.Equal(answer, queue[0].answer) {
				t.Fatalf("the ring has port %d and %d, %d octets; the queue has another of %d entries", r.port, len(query), len(answer), len(queue))
			}
			queue = queue[1:]
		})
		if len(queue) > 0 {
			t.Fatalf("%d entries are not in the ring", len(queue))
		}
	}
	if lost == 0 {
		t.Error("the ring was never full")
	}
}

const loggedConfig = `
server: {listen: ["127.0.0.1:0"]}
query_log: {file: queries.json}
regions: {eu: {location: [53, 6]}}
geo: {networks: {203.0.113.0/24: {region: eu}}}
pools:
  web: {policy: proximity, members: [{name: a, region: eu, addresses: [192.0.2.1]}]}
  inner: {policy: failover, members: [{name: b, addresses: [192.0.2.2]}]}
  outer: {policy: proximity, members: [{name: nested, region: eu, pool: inner}]}
  off: {policy: weighted, fail_open: never, members: [{name: c, addresses: [192.0.2.3], enabled: false}, {name: d, addresses: [192.0.2.4], weight: 0}]}
zones:
  example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web}, outer: {pool: outer}, off: {pool: off}}}
  example.org: {nameservers: {ns1.example.net: []}, contact: a@example.com}
`

// drained returns what is logged, one line for each query.
func drained(t *testing.T, s *Engine) (lines []string) {
	t.Helper()
	s.DrainQueryLog(func(q *LoggedQuery) {
		var query, response dns.Msg
		if query.Unpack(q.Query) != nil || response.Unpack(q.Response) != nil || query.Id != response.Id {
			t.Errorf("%q and %q are not a query and its answer", q.Query, q.Response)
			return
		}
		mode := "none"
		if q.Decided {
			mode = q.Mode.String()
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %v/%d zone=%s %s/%s(%s) %s",
			query.Question[0].Name, q.Client, q.Transport, q.Subnet, q.Scope, q.Zone, q.Pool, q.Member, q.Region, mode)))
	})
	return lines
}

func TestQueryLogHasTheDecision(t *testing.T) {
	for _, slow := range []bool{false, true} {
		s := newEngine(answertest.Build(t, loggedConfig, ""), nil)
		r := s.Responder()
		r.slowOnly, r.Port = slow, 5353
		subnet := answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 203, 0, 113)
		for _, query := range [][]byte{
			answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), subnet)),
			answertest.Packed(t, answertest.Ask("outer.example.com.", dns.TypeA)),
			answertest.Packed(t, answertest.Ask("off.example.com.", dns.TypeA)),
			answertest.Packed(t, answertest.Ask("none.example.org.", dns.TypeA)),
			answertest.Packed(t, answertest.Ask("www.example.net.", dns.TypeA)),
		} {
			r.Respond(nil, query, answertest.BenchSource, false)
		}
		r.Respond(nil, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), netip.MustParseAddr("2001:db8::7"), true)
		want := []string{
			"www.example.com. 198.51.100.7:5353 udp 203.0.113.0/24/0 zone=example.com. web/a(eu) normal",
			"outer.example.com. 198.51.100.7:5353 udp invalid Prefix/0 zone=example.com. inner/b(eu) normal",
			"off.example.com. 198.51.100.7:5353 udp invalid Prefix/0 zone=example.com. off/() nodata",
			"none.example.org. 198.51.100.7:5353 udp invalid Prefix/0 zone=example.org. /() none",
			"www.example.net. 198.51.100.7:5353 udp invalid Prefix/0 zone= /() none",
			"www.example.com. [2001:db8::7]:5353 tcp invalid Prefix/0 zone=example.com. web/a(eu) normal",
		}
		if got := drained(t, s); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("slow %v: logged\n%s\nwant\n%s", slow, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestQueryLogSelectsByZoneAndSample(t *testing.T) {
	query := func(r *Responder, name string, n int) {
		for range n {
			r.Respond(nil, answertest.Packed(t, answertest.Ask(name, dns.TypeA)), answertest.BenchSource, false)
		}
	}
	s := newEngine(answertest.Build(t, strings.Replace(loggedConfig, "queries.json", "q, zones: [example.org]", 1), ""), nil)
	r := s.Responder()
	query(r, "www.example.com.", 1)
	query(r, "example.org.", 2)
	query(r, "example.net.", 1)
	if got := drained(t, s); len(got) != 2 || !strings.HasPrefix(got[0], "example.org. ") {
		t.Errorf("logged %q, want the two in example.org", got)
	}
	s = newEngine(answertest.Build(t, strings.Replace(loggedConfig, "queries.json", "q, sample: 0.25", 1), ""), nil)
	query(s.Responder(), "www.example.com.", 2000)
	if n := len(drained(t, s)); n < 400 || n > 600 { // 500 and 5 standard deviations
		t.Errorf("logged %d of 2000, want about 500", n)
	}
}

func TestFullLogRingLosesQueriesAndCountsThem(t *testing.T) {
	s := newEngine(answertest.Build(t, loggedConfig, ""), nil)
	r := s.Responder()
	query, out := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), make([]byte, 0, 512)
	for range logRecords + 7 { // nothing reads
		if out = r.Respond(out[:0], query, answertest.BenchSource, false); len(out) == 0 {
			t.Fatal("no answer")
		}
	}
	if n := s.Counters().Unlogged; n != 7 {
		t.Errorf("%d queries are counted as lost, want 7", n)
	}
	if n := testing.AllocsPerRun(100, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
		t.Errorf("%v allocations a query with a full ring", n)
	}
	if n := len(drained(t, s)); n != logRecords {
		t.Errorf("%d are logged, want %d", n, logRecords)
	}
	if n := testing.AllocsPerRun(100, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
		t.Errorf("%v allocations a logged query", n)
	}
}

// TestQueryLogNamesMembersOfTheSnapshotThatAnswered drains after a reload in which the numbers of members changed.
func TestQueryLogNamesMembersOfTheSnapshotThatAnswered(t *testing.T) {
	s := newEngine(answertest.Build(t, loggedConfig, ""), nil)
	r := s.Responder()
	query := answertest.Packed(t, answertest.Ask("outer.example.com.", dns.TypeA))
	r.Respond(nil, query, answertest.BenchSource, false)
	s.Replace(answertest.Build(t, strings.Replace(loggedConfig, "{name: b,", "{name: x, addresses: [192.0.2.9]}, {name: b,", 1), ""))()
	r.Respond(nil, query, answertest.BenchSource, false)
	ended := s.Responder()
	ended.Respond(nil, query, answertest.BenchSource, false)
	s.responders.remove(ended)
	got := strings.Join(drained(t, s), "\n")
	if strings.Count(got, "inner/b(eu)") != 1 || strings.Count(got, "inner/x(eu)") != 2 {
		t.Errorf("logged\n%s\nwant b, then x twice", got)
	}
	if n := len(s.logRings.rings.rings); n != 1 {
		t.Errorf("%d rings are kept, want that of the responder that is left", n)
	}
}

func TestSampleBound(t *testing.T) {
	for part, want := range map[float64]uint64{1: 1<<64 - 1, 0.5: 1 << 63, 0.25: 1 << 62} {
		if got := sampleBound(part); got != want {
			t.Errorf("%v: %d, want %d", part, got, want)
		}
	}
}

// BenchmarkRespondLogged measures an answer without a query log, and with one that gets 1 % of the queries, reading it
// included.
func BenchmarkRespondLogged(b *testing.B) {
	for name, settings := range map[string]string{
		"off": "", "sampled": "query_log: {file: q, sample: 0.01}\n",
		"resolvers": "resolver_stats: on\n", "resolvers sampled": "resolver_stats: {sample: 0.1}\n",
	} {
		b.Run(name, func(b *testing.B) {
			s := newEngine(answertest.Build(b, strings.Replace(loggedConfig, "query_log: {file: queries.json}\n", settings, 1), ""), nil)
			r := s.Responder()
			query, out := answertest.Packed(b, answertest.Ask("www.example.com.", dns.TypeA)), make([]byte, 0, 512)
			for n := 0; b.Loop(); n++ {
				out = r.Respond(out[:0], query, answertest.BenchSource, false)
				if n%1000 == 0 {
					s.DrainObservations(func(*Observation) {})
				}
				if n%100_000 == 0 {
					s.DrainQueryLog(func(*LoggedQuery) {})
				}
			}
		})
	}
}
