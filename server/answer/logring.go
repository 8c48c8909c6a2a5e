package answer

import (
	"net/netip"
	"sync/atomic"

	"meridian/zones"
)

const (
	// logRecords and logBytes are the room of a responder's log ring: at 100,000 logged queries a second, what one worker
	// logs in about 40 ms. Both are powers of two.
	logRecords = 1 << 12
	logBytes   = 1 << 20
)

// logRing carries logged queries from one responder to one reader. Neither waits: what does not fit is lost.
type logRing struct {
	records []record
	data    []byte // the messages of the records
	end     uint64 // of the messages in data, by the responder; it only grows

	written atomic.Uint64 // records, by the responder
	_       [56]byte      // keeps the writer and the reader on cache lines of their own
	read    atomic.Uint64 // records, by the reader
	freed   atomic.Uint64 // bytes of data, by the reader
	closed  atomic.Bool   // the responder is removed
}

func (g *logRing) isClosed() bool { return g.closed.Load() }

func newLogRing() *logRing {
	return &logRing{records: make([]record, logRecords), data: make([]byte, logBytes)}
}

// record is a logged query without its messages.
type record struct {
	facts
	active *activeSnapshot // resolves the names of facts
	time   int64           // in Unix nanoseconds
	client netip.Addr
	port   uint16 // of client; 0: not known
	bits   uint8  // of subnet
	echoed bool   // the answer carries subnet
	subnet netip.Addr
	at     uint64 // of the query in data; the answer follows it
	query  int    // its length
	answer int
}

// put adds a record with its messages. It returns false if there is no room.
func (g *logRing) put(r *record, query, answer []byte) bool {
	n, size := g.written.Load(), uint64(len(query)+len(answer))
	if n-g.read.Load() == logRecords || g.end+size-g.freed.Load() > logBytes {
		return false
	}
	r.at, r.query, r.answer = g.end, len(query), len(answer)
	g.copyIn(g.end, query)
	g.copyIn(g.end+uint64(len(query)), answer)
	g.end += size
	g.records[n%logRecords] = *r
	g.written.Store(n + 1)
	return true
}

func (g *logRing) copyIn(at uint64, data []byte) {
	n := copy(g.data[at%logBytes:], data)
	copy(g.data, data[n:])
}

func (g *logRing) copyOut(data []byte, at uint64) {
	n := copy(data, g.data[at%logBytes:])
	copy(data[n:], g.data)
}

// drain passes the records that are there now to emit, with their messages, which are valid only during the call.
func (g *logRing) drain(buffer []byte, emit func(r *record, query, answer []byte)) []byte {
	for n, end := g.read.Load(), g.written.Load(); n != end; n++ {
		r := &g.records[n%logRecords]
		size := r.query + r.answer
		if cap(buffer) < size {
			buffer = make([]byte, size)
		}
		buffer = buffer[:size]
		g.copyOut(buffer, r.at)
		emit(r, buffer[:r.query], buffer[r.query:])
		freed := r.at + uint64(size)
		r.active = nil // the snapshot may be freed
		g.freed.Store(freed)
		g.read.Store(n + 1)
	}
	return buffer
}

// logPolicy selects the queries of a snapshot that are logged.
type logPolicy struct {
	below uint64 // a random number less than or equal to this selects a query
	zones []bool // by zone: whether its queries are logged; nil: all are, also those outside all zones
}

// newLogPolicy returns nil if no query is logged.
func newLogPolicy(s *activeSnapshot) *logPolicy {
	cfg := s.snapshot.Config
	if !cfg.QueryLog.Enabled() {
		return nil
	}
	p := &logPolicy{below: sampleBound(cfg.QueryLog.Sample)}
	if len(cfg.QueryLog.Zones) > 0 {
		p.zones = make([]bool, len(cfg.Zones))
		for _, logged := range cfg.QueryLog.Zones {
			for i := range cfg.Zones {
				p.zones[i] = p.zones[i] || cfg.Zones[i].Name == logged
			}
		}
	}
	return p
}

// sampleBound returns the bound below which a part of all 64-bit numbers is.
func sampleBound(part float64) uint64 {
	const all = 1 << 64
	if part >= 1 {
		return all - 1
	}
	return uint64(part * all)
}

// wants reports whether the zone filter lets a query pass.
func (p *logPolicy) wants(located bool, zone zones.ZoneID) bool {
	return p.zones == nil || located && p.zones[zone]
}
