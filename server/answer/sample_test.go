package answer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
)

// sampledConfig has a name of each kind.
const sampledConfig = `
server: {listen: ["127.0.0.1:0"], filter: [{name: a, types: ["NULL"], action: drop}, {name: b, types: [TXT], action: truncate}]}
pools: {web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web}, "*.wild": {pool: web}}}}
`

// samplesOf returns the samples, one line for each.
func samplesOf(e *Engine) (lines []string) {
	e.DrainSamples(func(s *Sample) {
		name := "unreadable"
		if len(s.Name) > 0 {
			name = s.Name.String()
		}
		zone := ""
		if s.Apex > 0 {
			zone = " of " + dnsname.Wire(s.Name[len(s.Name)-s.Apex:]).String()
		}
		random := ""
		if s.Random {
			random = " random"
		}
		lines = append(lines, fmt.Sprintf("%g %v %s %v%s %s %s%s", s.Weight, s.Transport, s.Source, name, zone, dns.Type(s.Type), s.Outcome, random))
	})
	return lines
}

func TestSampleHasTheQueryAndItsOutcome(t *testing.T) {
	for _, slow := range []bool{false, true} {
		e := newEngine(answertest.Build(t, sampledConfig, ""), nil)
		r := e.Responder()
		r.slowOnly = slow
		e.SampleQueries(1)
		source := netip.MustParseAddr("198.51.100.7")
		ask := func(name string, qtype uint16, stream bool) {
			r.Respond(nil, answertest.Packed(t, answertest.Ask(name, qtype)), source, stream)
		}
		ask("WWW.example.com.", dns.TypeA, false)
		ask("x.wild.example.com.", dns.TypeA, true)
		ask("none.example.com.", dns.TypeA, false)
		ask("www.example.net.", dns.TypeAAAA, false)
		ask("www.example.com.", dns.TypeTXT, false)
		ask("www.example.com.", dns.TypeNULL, false)
		ask("NONE.example.com.", dns.TypeTXT, false)
		ask("www.example.net.", dns.TypeTXT, false)
		r.Respond(nil, make([]byte, HeaderSize+3), source, false)
		want := []string{
			"1 udp 198.51.100.7 www.example.com. of example.com. A NOERROR",
			"1 tcp 198.51.100.7 x.wild.example.com. of example.com. A NOERROR random",
			"1 udp 198.51.100.7 none.example.com. of example.com. A NXDOMAIN random",
			"1 udp 198.51.100.7 www.example.net. AAAA REFUSED",
			"1 udp 198.51.100.7 www.example.com. of example.com. TXT truncated",
			"1 udp 198.51.100.7 www.example.com. of example.com. NULL dropped",
			"1 udp 198.51.100.7 none.example.com. of example.com. TXT truncated random",
			"1 udp 198.51.100.7 www.example.net. TXT truncated",
		}
		got := samplesOf(e)
		if len(got) != len(want)+1 || !strings.HasPrefix(got[len(got)-1], "1 udp 198.51.100.7 unreadable ") {
			t.Fatalf("slow %v: samples\n%s", slow, strings.Join(got, "\n"))
		}
		if got := got[:len(want)]; strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("slow %v: sampled\n%s\nwant\n%s", slow, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestSampleOfLimitedQueriesHasTheirZone samples queries over the rate limit, of which no name is looked up to answer them.
func TestSampleOfLimitedQueriesHasTheirZone(t *testing.T) {
	cfg := strings.Replace(sampledConfig, "filter:", "rate_limit: {rate: 1, instant: 1, slip: 0}, filter:", 1)
	e := newEngine(answertest.Build(t, cfg, ""), nil)
	r := e.Responder()
	e.SampleQueries(1)
	for range 100 {
		r.Respond(nil, answertest.Packed(t, answertest.Ask("none.example.com.", dns.TypeA)), netip.MustParseAddr("198.51.100.7"), false)
	}
	got := samplesOf(e)
	if last := "1 udp 198.51.100.7 none.example.com. of example.com. A dropped random"; got[len(got)-1] != last {
		t.Errorf("sampled\n%s\nwant at last\n%s", strings.Join(got, "\n"), last)
	}
}

// TestSampleOfTransfers samples a transfer that is sent, one that is refused, one with a wrong key, and one of a zone that is
// not ours.
func TestSampleOfTransfers(t *testing.T) {
	cfg := strings.Replace(sampledConfig, "names:", "transfer: {out: [{addresses: [198.51.100.0/24]}]}, names:", 1)
	e := newEngine(answertest.Build(t, cfg, ""), nil)
	r := e.Responder()
	r.Transfers = true
	e.SampleQueries(1)
	unknownKey := answertest.Ask("example.com.", dns.TypeAXFR)
	unknownKey.SetTsig("none.", dns.HmacSHA256, 300, time.Now().Unix())
	signed, _, err := dns.TsigGenerate(unknownKey, "c2VjcmV0c2VjcmV0c2VjcmV0", "", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source string
		packet []byte
	}{
		{"198.51.100.7", answertest.Packed(t, answertest.Ask("example.com.", dns.TypeAXFR))},
		{"203.0.113.7", answertest.Packed(t, answertest.Ask("EXAMPLE.com.", dns.TypeAXFR))},
		{"198.51.100.7", signed},
		{"198.51.100.7", answertest.Packed(t, answertest.Ask("example.net.", dns.TypeIXFR))},
	} {
		r.Respond(nil, c.packet, netip.MustParseAddr(c.source), true)
		r.TakeTransfer()
	}
	want := []string{
		"1 tcp 198.51.100.7 example.com. of example.com. AXFR NOERROR",
		"1 tcp 203.0.113.7 example.com. of example.com. AXFR REFUSED",
		"1 tcp 198.51.100.7 example.com. of example.com. AXFR NOTAUTH",
		"1 tcp 198.51.100.7 example.net. IXFR REFUSED",
	}
	if got := samplesOf(e); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("sampled\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSamplesStandForAllQueries samples at several distances, and collects so rarely that many samples have no room: the
// weights are the number of queries, and the parts of two names are right.
func TestSamplesStandForAllQueries(t *testing.T) {
	e := newEngine(answertest.Build(t, sampledConfig, ""), nil)
	r := e.Responder()
	packets := [][]byte{answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), answertest.Packed(t, answertest.Ask("none.example.com.", dns.TypeA))}
	rng := rand.New(rand.NewPCG(1, 2))
	var out []byte
	asked, weight := 0.0, 0.0
	for _, every := range []uint32{1, 2, 50} {
		e.SampleQueries(every)
		before, samples, random := weight, 0, 0.0
		for range 30 {
			for range 1 + rng.IntN(2000) {
				i := 0
				if rng.IntN(4) == 0 {
					i = 1
				}
				out = r.Respond(out[:0], packets[i], answertest.BenchSource, false)
				asked++
			}
			e.DrainSamples(func(s *Sample) {
				weight += s.Weight
				if samples++; s.Random {
					random += s.Weight
				}
			})
		}
		// Those since the last sample are counted with the next one.
		if left := asked - weight; left < 0 || left > 2000 {
			t.Errorf("every %d: %g queries, samples stand for %g", every, asked, weight)
		}
		if part := random / (weight - before); math.Abs(part-0.25) > 5*0.5/math.Sqrt(float64(samples)) {
			t.Errorf("every %d: %.3f of %d samples are for the second name, want 0.25", every, part, samples)
		}
	}
	e.SampleQueries(0)
	samplesOf(e)
	r.Respond(nil, packets[0], answertest.BenchSource, false)
	if got := samplesOf(e); len(got) > 0 {
		t.Errorf("sampled %q while it is off", got)
	}
}

// TestSamplesCountOnlyWhileSampling turns the sampling on after many queries, twice.
func TestSamplesCountOnlyWhileSampling(t *testing.T) {
	e := newEngine(answertest.Build(t, sampledConfig, ""), nil)
	r := e.Responder()
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	ask := func(n int) {
		for range n {
			r.Respond(nil, query, answertest.BenchSource, false)
		}
	}
	for range 2 {
		e.SampleQueries(0)
		ask(500)
		samplesOf(e)
		e.SampleQueries(1)
		ask(3)
		if weight := sampledWeight(e); weight != 3 {
			t.Errorf("samples represent %g queries, want 3", weight)
		}
	}
}

// sampledWeight returns the number of queries that the samples represent.
func sampledWeight(e *Engine) (weight float64) {
	e.DrainSamples(func(s *Sample) { weight += s.Weight })
	return weight
}

func TestSamplingAllocatesNothing(t *testing.T) {
	e := newEngine(answertest.Build(t, sampledConfig, ""), nil)
	r := e.Responder()
	e.SampleQueries(1)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	var out []byte
	if n := testing.AllocsPerRun(600, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSamplesAreCollectedWhileResponderAnswers is for the race detector.
func TestSamplesAreCollectedWhileResponderAnswers(t *testing.T) {
	e := newEngine(answertest.Build(t, sampledConfig, ""), nil)
	e.SampleQueries(1)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			r := e.Responder()
			for i := range 3000 {
				r.Respond(nil, query, answertest.BenchSource, false)
				e.SampleQueries(uint32(1 + i%3))
			}
			e.responders.remove(r)
		})
	}
	total := 0.0
	collect := func() { e.DrainSamples(func(s *Sample) { total += s.Weight }) }
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	for done := false; !done; {
		select {
		case <-ended:
			done = true
		default:
		}
		collect()
	}
	const rounding = 1e-6                    // weights are fractions when the period changes
	if total == 0 || total > 6000+rounding { // the last ones may have had no room
		t.Errorf("samples stand for %g of 6000 queries", total)
	}
	if n := len(e.samples.rings.current()); n != 0 {
		t.Errorf("%d rings of removed responders remain", n)
	}
}

// BenchmarkRespondSampled samples one query of 100, as at 50,000 queries a second.
func BenchmarkRespondSampled(b *testing.B) {
	e := newEngine(answertest.Build(b, sampledConfig, ""), nil)
	r := e.Responder()
	e.SampleQueries(100)
	query := answertest.Packed(b, answertest.Ask("www.example.com.", dns.TypeA))
	var out []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		out = r.Respond(out[:0], query, answertest.BenchSource, false)
		if i%10_000 == 0 {
			e.DrainSamples(func(*Sample) {})
		}
	}
}
