package answer

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// Outcome is the result of a query for its client.
type Outcome uint8

// The outcomes. Those below OutcomeTruncated are the response codes of the header; BADCOOKIE, with a code that does not fit
// there, has the place of YXRRSET, which no answer to a QUERY has.
const (
	OutcomeTruncated Outcome = 16 + iota // the client may repeat the query over TCP
	OutcomeDropped                       // no answer
)

func (o Outcome) String() string {
	switch o {
	case OutcomeTruncated:
		return "truncated"
	case OutcomeDropped:
		return "dropped"
	case dns.RcodeYXRrset:
		return dns.RcodeToString[dns.RcodeBadCookie]
	}
	return dns.RcodeToString[int(o)]
}

// sampled is a query as it is passed from a responder to the collector.
type sampled struct {
	ordinal   uint64 // of the query among those of the responder
	source    netip.Addr
	qtype     uint16
	transport Transport
	outcome   Outcome
	random    bool
	apex      uint8 // length of the name of the zone at the end of name; 0: no lookup has found a zone
	size      uint8 // of name; 0: it could not be read
	name      [dnsname.MaxSize]byte
}

// sampleRecords is the room of a ring. It is a power of two.
const sampleRecords = 1 << 8

// sampleRing carries sampled queries from one responder to one collector. Neither waits: those that do not fit are lost, and
// the others represent it.
type sampleRing struct {
	records [sampleRecords]sampled

	written atomic.Uint64 // by the responder
	_       [56]byte      // keeps the writer and the reader on cache lines of their own
	read    atomic.Uint64 // by the collector
	closed  atomic.Bool   // the responder is removed
	ordinal uint64        // of the last record that was read; the collector's
}

func (g *sampleRing) isClosed() bool { return g.closed.Load() }

// next returns the record to fill in; nil: there is no room.
func (g *sampleRing) next() *sampled {
	n := g.written.Load()
	if n-g.read.Load() == sampleRecords {
		return nil
	}
	return &g.records[n%sampleRecords]
}

// sampler selects the queries of a responder that are sampled: on average one of every so many, at random distances,
// so that no pattern of queries escapes.
type sampler struct {
	every   uint32      // 0: none is sampled
	seen    uint64      // queries while it samples
	last    uint64      // the last query that was passed to the collector, by seen
	at      uint64      // the query to sample next, by seen; 0: none
	samples *sampleRing // nil: it has never sampled
}

// set applies a new distance. Samples do not represent the queries before the sampling is turned on.
func (s *sampler) set(every uint32, e *Engine) {
	if s.every == 0 {
		s.seen = s.last
	}
	s.every, s.at = every, 0
	if every == 0 {
		return
	}
	if s.samples == nil {
		s.samples = e.samples.rings.add(new(sampleRing))
	}
	s.choose()
}

// choose selects the next query to sample.
func (s *sampler) choose() { s.at = s.seen + 1 + rand.Uint64N(uint64(2*s.every-1)) }

// sample passes the query that was answered with answer to the collector.
func (r *Responder) sample(answer []byte, source netip.Addr) {
	s := &r.sampler
	s.choose()
	to := s.samples.next()
	if to == nil {
		return
	}
	q := &r.query
	to.ordinal, to.source, to.qtype, to.transport = s.seen, source, q.qtype, r.facts.transport
	to.outcome, to.random, to.apex, to.size = sampledOutcome(answer), r.facts.random, 0, 0
	if r.transfer != nil { // it is sent later
		to.outcome = dns.RcodeSuccess
	}
	if q.end > 0 {
		to.size = uint8(copy(to.name[:], q.name))
	}
	if r.facts.located {
		to.apex = uint8(len(r.at.active.zones.Apex(r.facts.zone)))
	}
	s.last = s.seen
	s.samples.written.Store(s.samples.written.Load() + 1)
}

// locate finds the zone of a query that was answered without a lookup of its name, because a rule of the filter or a limit
// applied, its cookie was wrong, or it asked for a transfer.
func (s *sampled) locate(data *zones.Data) {
	if match := data.Lookup(s.name[:s.size], s.qtype); match.Kind != zones.Refused {
		s.apex, s.random = uint8(len(data.Apex(match.Zone))), isRandom(match.Kind)
	}
}

// sampledOutcome returns the outcome of an answer, which may be empty.
func sampledOutcome(answer []byte) Outcome {
	switch {
	case len(answer) < HeaderSize:
		return OutcomeDropped
	case answer[2]&flagTC != 0:
		return OutcomeTruncated
	}
	return Outcome(answer[3] & 0x0f)
}

// isRandom reports whether a name is one of many that get an answer of this kind: floods of random names consist of them.
func isRandom(kind zones.Kind) bool {
	return kind == zones.NXDomain || kind == zones.Wildcard || kind == zones.DName
}

// Sample is a query that represents several.
type Sample struct {
	Weight    float64 // the number of queries that it represents
	Source    netip.Addr
	Name      dnsname.Wire // in lower case, valid only during the call; empty: it could not be read
	Apex      int          // length of the name of the zone at the end of Name; 0: no zone has the name
	Type      uint16
	Transport Transport
	Outcome   Outcome
	Random    bool // the name does not exist as such: NXDOMAIN, or an answer of a wildcard or a DNAME
}

// samples holds the rings of all responders.
type samples struct {
	every atomic.Uint32 // see SampleQueries
	rings ringList[*sampleRing]

	reading sync.Mutex // one collector at a time
}

// SampleQueries makes the responders sample one query of every so many, on average; 0: none. It begins with the next
// batch of each.
func (e *Engine) SampleQueries(every uint32) { e.samples.every.Store(every) }

// DrainSamples passes the sampled queries to emit. Together they represent all queries since the last call, those without
// room for a sample included.
func (e *Engine) DrainSamples(emit func(*Sample)) {
	l := &e.samples
	l.reading.Lock()
	defer l.reading.Unlock()
	for _, ring := range l.rings.current() {
		ring.drain(e.current.Load().zones, emit)
	}
}

// drain passes the records that are there now to emit. It looks up names of queries without a zone in data.
func (g *sampleRing) drain(data *zones.Data, emit func(*Sample)) {
	n, end := g.read.Load(), g.written.Load()
	if n == end {
		return
	}
	last := g.records[(end-1)%sampleRecords].ordinal
	weight := float64(last-g.ordinal) / float64(end-n)
	g.ordinal = last
	for ; n != end; n++ {
		s := &g.records[n%sampleRecords]
		if s.apex == 0 && s.size > 0 {
			s.locate(data)
		}
		emit(&Sample{
			Weight: weight, Source: s.source, Name: s.name[:s.size], Apex: int(s.apex), Type: s.qtype,
			Transport: s.transport, Outcome: s.outcome, Random: s.random,
		})
		g.read.Store(n + 1)
	}
}
