// Package top shows the most frequent queries of a server, and names floods.
//
//	sampled queries -> Table -+-> Report: names, sources, types, zones and outcomes of the last minute
//	                          +-> detector, once a second: keys with far more queries than usual
//
// A sampled query represents several; all rates are estimates. At a rate of 500 queries a second or less every query
// is sampled. The detector compares the rate of each name, source network, type and zone with its usual rate, a mean of
// the last ten minutes without the queries of floods:
//
//	begins   5 s long: rate >= the configured one, >= 5 x usual, and >= 10 % of all queries
//	ends     60 s long: rate < half of the configured one, or of 5 x usual if that is more
//
// The package knows no server and no configuration.
package top

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer"
)

const (
	// kept is the number of seconds of which queries are kept: a minute, and the second that is not complete.
	kept = 61
	// sampleRate is the number of queries that are sampled in a second at most, on average over the last one.
	sampleRate = 500
	// The networks of sources: forged or real, those of a flood are often neighbours.
	sourceIPv4, sourceIPv6 = 24, 48
)

// Table holds the sampled queries of the last minute. It is safe for concurrent use.
type Table struct {
	mu       sync.Mutex // guards all below
	began    time.Time
	seconds  [kept]second // by the second since began, modulo kept
	ticked   int64        // the last complete second that the detector has seen
	detector detector
}

// second holds the sampled queries of one second.
type second struct {
	at      int64 // since began
	queries []query
	weight  float64 // of all
}

// query is a sampled query.
type query struct {
	weight    float64
	name      string // in wire form and lower case; empty: it could not be read
	source    netip.Prefix
	qtype     uint16
	apex      uint8 // length of the name of the zone at the end of name; 0: no zone has the name
	random    bool
	transport answer.Transport
	outcome   answer.Outcome
}

// New returns an empty table. flood is the rate in the least queries a second of a flood; 0: none is reported.
func New(flood int, now time.Time) *Table {
	return &Table{began: now, ticked: -1, detector: newDetector(flood)}
}

// SetFlood changes the least rate of a flood.
func (t *Table) SetFlood(flood int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detector.min = float64(flood)
}

// secondAt returns the seconds that have passed since t began.
func (t *Table) secondAt(now time.Time) int64 { return int64(now.Sub(t.began) / time.Second) }

// Add adds a sampled query.
func (t *Table) Add(s *answer.Sample, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.secondAt(now)
	to := &t.seconds[at%kept]
	if to.at != at {
		*to = second{at: at, queries: to.queries[:0]}
	}
	bits := sourceIPv4
	if s.Source.Is6() {
		bits = sourceIPv6
	}
	network, _ := s.Source.WithZone("").Prefix(bits) // no error: the length is one of the family
	to.weight += s.Weight
	to.queries = append(to.queries, query{
		weight: s.Weight, name: string(s.Name), source: network, qtype: s.Type, apex: uint8(s.Apex), random: s.Random,
		transport: s.Transport, outcome: s.Outcome,
	})
}

// Every returns how many queries one sample should represent at the present rate.
func (t *Table) Every(now time.Time) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.secondAt(now)
	rate := 0.0
	for _, s := range t.lastLocked(at, 2) { // the present second may have just begun, or have the beginning of a flood
		rate = max(rate, s.weight)
	}
	return uint32(max(1, math.Ceil(rate/sampleRate)))
}

// lastLocked returns the last n seconds up to at that have queries.
func (t *Table) lastLocked(at, n int64) (found []*second) {
	for i := max(0, at-n+1); i <= at; i++ {
		if s := &t.seconds[i%kept]; s.at == i && len(s.queries) > 0 {
			found = append(found, s)
		}
	}
	return found
}

// Report holds the most frequent queries of the last minute, as JSON. The rates are estimates from sampled queries.
type Report struct {
	At         time.Time `json:"at"`
	Seconds    float64   `json:"seconds"` // that it is about
	Rate       float64   `json:"queries_per_second"`
	Samples    int       `json:"samples"`
	Names      []Count   `json:"names"`
	Sources    []Count   `json:"sources"` // networks: /24 of IPv4, /48 of IPv6
	Types      []Count   `json:"types"`
	Zones      []Count   `json:"zones"`
	Outcomes   []Count   `json:"outcomes"` // response codes, truncated, dropped
	Transports []Count   `json:"transports"`
	Floods     []Flood   `json:"floods"` // the present ones
}

// Count is the rate of queries with a property.
type Count struct {
	Key     string  `json:"key"`
	Rate    float64 `json:"queries_per_second"`
	Percent float64 `json:"percent"`                  // of all queries
	Random  float64 `json:"random_percent,omitempty"` // of the queries of a zone: for random names
}

// Report reports the last minute, with at most limit entries of each list.
func (t *Table) Report(now time.Time, limit int) *Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.secondAt(now)
	seconds := t.lastLocked(at, kept-1)
	elapsed := max(1, now.Sub(t.began).Seconds()-float64(max(0, at-kept+2)))
	r := &Report{At: now, Seconds: elapsed, Floods: t.detector.floods()}
	total := 0.0
	for _, s := range seconds {
		total += s.weight
		r.Samples += len(s.queries)
	}
	r.Rate = total / elapsed
	of := func(key func(*query) string) []Count { return countBy(seconds, key, total, elapsed, limit) }
	r.Names = of(func(q *query) string { return nameText(q.name) })
	r.Sources = of(func(q *query) string { return q.source.String() })
	r.Types = of(func(q *query) string { return typeText(q) })
	r.Zones = of(func(q *query) string { return zoneText(q.zone()) })
	r.Outcomes = of(func(q *query) string { return q.outcome.String() })
	r.Transports = of(func(q *query) string { return q.transport.String() })
	random := weights(seconds, func(q *query) string { return zoneText(q.zone()) }, (*query).isRandom)
	for i := range r.Zones {
		r.Zones[i].Random = 100 * random[r.Zones[i].Key] / (r.Zones[i].Rate * elapsed)
	}
	return r
}

// weights sums the queries that want selects, by a property; nil: all.
func weights(seconds []*second, key func(*query) string, want func(*query) bool) map[string]float64 {
	sums := map[string]float64{}
	for _, s := range seconds {
		for i := range s.queries {
			if q := &s.queries[i]; want == nil || want(q) {
				sums[key(q)] += q.weight
			}
		}
	}
	return sums
}

// countBy counts queries by a property, the most frequent first.
func countBy(seconds []*second, key func(*query) string, total, elapsed float64, limit int) []Count {
	sums := weights(seconds, key, nil)
	counts := make([]Count, 0, len(sums))
	for k, weight := range sums {
		counts = append(counts, Count{Key: k, Rate: weight / elapsed, Percent: 100 * weight / total})
	}
	slices.SortFunc(counts, func(a, b Count) int { return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(a.Key, b.Key)) })
	return counts[:min(limit, len(counts))]
}

// zone returns the name of the zone of q, in wire form; empty: no zone has the name.
func (q *query) zone() string { return q.name[len(q.name)-int(q.apex):] }

// isRandom reports whether q may be of a flood of random names.
func (q *query) isRandom() bool { return q.random || q.apex == 0 && q.name != "" }

// The texts of keys without a name.
const (
	unreadable = "(unreadable)"
	noZone     = "(no zone)"
)

// nameText returns a name in presentation form.
func nameText(name string) string {
	if name == "" {
		return unreadable
	}
	return dnsname.Wire(name).String()
}

// zoneText returns the name of a zone in presentation form.
func zoneText(apex string) string {
	if apex == "" {
		return noZone
	}
	return dnsname.Wire(apex).String()
}

func typeText(q *query) string {
	if q.name == "" {
		return unreadable
	}
	return dns.Type(q.qtype).String()
}
