package top

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer"
)

// flow is a part of the queries of a model.
type flow struct {
	rate func(second int) float64       // queries a second
	make func(*rand.Rand) answer.Sample // one of them
}

// steady returns a rate that does not change.
func steady(rate float64) func(int) float64 { return func(int) float64 { return rate } }

// between returns a rate that is high from a second to another one, and low otherwise.
func between(begin, end int, high, low float64) func(int) float64 {
	return func(second int) float64 {
		if begin <= second && second < end {
			return high
		}
		return low
	}
}

// wire returns a name in wire form.
func wire(name string) dnsname.Wire {
	w, err := dnsname.ParseWire(name)
	if err != nil {
		panic(err)
	}
	return w
}

// apex is the length of the name of the zone of the model.
var apex = len(wire("example.com."))

// resolver returns one of many sources, the first ones more often than the others.
func resolver(rng *rand.Rand) netip.Addr {
	n := int(400 * math.Pow(rng.Float64(), 3))
	return netip.AddrFrom4([4]byte{100, byte(n), byte(n >> 8), 53})
}

// usualQuery returns a query of a name that exists, some more often than others; a few are for other types or names.
func usualQuery(rng *rand.Rand) answer.Sample {
	s := answer.Sample{Source: resolver(rng), Type: dns.TypeA, Apex: apex, Name: wire(fmt.Sprintf("n%d.example.com.", int(200*math.Pow(rng.Float64(), 2))))}
	switch n := rng.IntN(100); {
	case n < 30:
		s.Type = dns.TypeAAAA
	case n < 33:
		s.Type = dns.TypeTXT
	case n < 35:
		s.Random, s.Outcome, s.Name = true, dns.RcodeNameError, wire(fmt.Sprintf("x%d.example.com.", rng.IntN(1000)))
	}
	return s
}

// floodOf returns queries that differ from usual ones by edit.
func floodOf(edit func(*answer.Sample, *rand.Rand)) func(*rand.Rand) answer.Sample {
	return func(rng *rand.Rand) answer.Sample {
		s := usualQuery(rng)
		s.Random, s.Outcome, s.Type = false, dns.RcodeSuccess, dns.TypeA
		edit(&s, rng)
		return s
	}
}

// randomNames are queries of real resolvers for random names of a zone.
var randomNames = floodOf(func(s *answer.Sample, rng *rand.Rand) {
	s.Name, s.Random, s.Outcome = wire(fmt.Sprintf("%08x.shop.example.com.", rng.Uint32())), true, dns.RcodeNameError
})

// forged are queries with forged sources for one name.
var forged = floodOf(func(s *answer.Sample, rng *rand.Rand) {
	s.Name, s.Type = wire("big.example.com."), dns.TypeTXT
	s.Source = netip.AddrFrom4([4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 1})
})

// oneSource are queries of one network for many names.
var oneSource = floodOf(func(s *answer.Sample, rng *rand.Rand) {
	s.Source = netip.AddrFrom4([4]byte{203, 0, 113, byte(rng.Uint32())})
	s.Name = wire(fmt.Sprintf("n%d.example.com.", rng.IntN(200)))
})

// model feeds a table with flows, and records what begins and ends.
type model struct {
	t     *testing.T
	rng   *rand.Rand
	table *Table
	made  map[int][]answer.Sample // by flow: queries to choose from, because making one takes long
	began time.Time
	now   time.Time

	lastRule func() int // see Tick
	events   []string   // "second begin|end subject"
	ended    []Flood
	begun    []Flood
}

// modelSamples is the number of samples of a second: fewer than a server has, so that there is more chance in rates.
const modelSamples = 40

func newModel(t *testing.T, seed uint64) *model {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &model{made: map[int][]answer.Sample{}, t: t, rng: rand.New(rand.NewPCG(seed, 1)), table: New(1000, began), began: began, now: began, lastRule: noRule}
}

// noRule says that no rule of the filter is named after a flood.
func noRule() int { return 0 }

// run feeds the table for some seconds.
func (m *model) run(seconds int, flows ...flow) {
	for range seconds {
		at := int(m.now.Sub(m.began) / time.Second)
		total := 0.0
		rates := make([]float64, len(flows))
		for i, f := range flows {
			rates[i] = f.rate(at)
			total += rates[i]
		}
		for range modelSamples {
			pick := m.rng.Float64() * total
			i := 0
			for ; i < len(flows)-1 && pick >= rates[i]; i++ {
				pick -= rates[i]
			}
			if m.made[i] == nil {
				for range 3000 {
					m.made[i] = append(m.made[i], flows[i].make(m.rng))
				}
			}
			s := m.made[i][m.rng.IntN(len(m.made[i]))]
			s.Weight = total / modelSamples
			m.table.Add(&s, m.now)
		}
		m.now = m.now.Add(time.Second)
		begun, ended := m.table.Tick(m.now, m.lastRule)
		for i := range begun {
			m.events = append(m.events, fmt.Sprintf("%d begin %s", at, begun[i].Subject()))
		}
		for i := range ended {
			m.events = append(m.events, fmt.Sprintf("%d end %s", at, ended[i].Subject()))
		}
		m.begun, m.ended = append(m.begun, begun...), append(m.ended, ended...)
	}
}

// expect checks that the floods with these subjects have begun and ended, each once, and no other.
func (m *model) expect(subjects ...string) {
	m.t.Helper()
	var begun, ended []string
	for i := range m.begun {
		begun = append(begun, m.begun[i].Subject())
	}
	for i := range m.ended {
		ended = append(ended, m.ended[i].Subject())
	}
	if !slices.Equal(begun, subjects) || !slices.Equal(ended, subjects) {
		m.t.Errorf("floods %q, want %q", m.events, subjects)
	}
}
