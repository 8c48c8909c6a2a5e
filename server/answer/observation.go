package answer

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"

	"meridian/config"
	"meridian/pools"
)

// resolverSample selects the resolvers that are observed: all queries of a part of the addresses, so that what an observed
// resolver has in its cache is known.
type resolverSample struct {
	seed  maphash.Seed
	below uint64 // the hash of a selected address is less than or equal to this
}

// newResolverSample returns nil if no resolver is observed.
func newResolverSample(s *config.ResolverStats, seed maphash.Seed) *resolverSample {
	if !s.Enabled() {
		return nil
	}
	return &resolverSample{seed: seed, below: sampleBound(s.Sample)}
}

// observeMembers is the maximum number of members of an observation; an answer of several addresses may have more.
const observeMembers = 8

// observed is an answer of a pool as it is passed from a responder to the reader.
type observed struct {
	active   *activeSnapshot // resolves the members
	resolver netip.Addr
	subnet   netip.Addr // of the query; invalid: none
	name     uint64     // a hash of it
	ttl      uint32
	qtype    uint16
	bits     uint8 // of subnet
	scope    uint8 // of the answer
	count    uint8 // of members
	members  [observeMembers]pools.MemberID
}

// observe puts an answer into the responder's ring if its resolver is in the sample.
func (r *Responder) observe(p *resolverSample, source netip.Addr) {
	address := source.As16()
	if maphash.Bytes(p.seed, address[:]) > p.below {
		return
	}
	o := observed{
		active: r.by.active, resolver: source, name: maphash.Bytes(p.seed, r.query.name), qtype: r.query.qtype,
		ttl: r.by.scratch.TTL, scope: r.facts.scope,
	}
	o.count = uint8(copy(o.members[:], r.by.scratch.Given))
	if subnet := &r.query.edns.subnet; subnet.present && subnet.addr.IsValid() {
		o.subnet, o.bits = subnet.addr, subnet.source
	}
	if !r.observations.put(&o) {
		r.counts.add(uint32(observationsLost))
	}
}

// observationRecords is the room of a ring: at 40,000 answers to observed resolvers a second, what one worker answers in
// about 50 ms. It is a power of two.
const observationRecords = 1 << 11

// observationRing carries observations from one responder to one reader. Neither waits: what does not fit is lost.
type observationRing struct {
	records [observationRecords]observed

	written atomic.Uint64 // by the responder
	_       [56]byte      // keeps the writer and the reader on cache lines of their own
	read    atomic.Uint64 // by the reader
	closed  atomic.Bool   // the responder is removed
}

func (g *observationRing) isClosed() bool { return g.closed.Load() }

// put adds a record. It returns false if there is no room.
func (g *observationRing) put(o *observed) bool {
	n := g.written.Load()
	if n-g.read.Load() == observationRecords {
		return false
	}
	g.records[n%observationRecords] = *o
	g.written.Store(n + 1)
	return true
}

// drain passes the records that are there now to emit.
func (g *observationRing) drain(emit func(*observed)) {
	for n, end := g.read.Load(), g.written.Load(); n != end; n++ {
		o := &g.records[n%observationRecords]
		emit(o)
		o.active = nil // the snapshot may be freed
		g.read.Store(n + 1)
	}
}

// Observation is an answer of a pool, as a resolver may keep it.
type Observation struct {
	Resolver netip.Addr
	Subnet   netip.Prefix // the client subnet of the query; invalid: none
	Clients  netip.Prefix // the clients that the answer is for, the part of Subnet that decided; invalid: all of the resolver
	Name     uint64       // a hash of the name
	Type     uint16
	TTL      uint32
	Members  []pools.MemberNames // of the answer, at most 8; valid only during the call
}

// observations holds the rings of all responders and the reader's memory.
type observations struct {
	rings ringList[*observationRing]

	reading sync.Mutex // one reader at a time; guards members
	members []pools.MemberNames
}

// DrainObservations passes the observations that the responders have collected to emit.
func (e *Engine) DrainObservations(emit func(*Observation)) {
	l := &e.observations
	l.reading.Lock()
	defer l.reading.Unlock()
	var seen Observation
	for _, ring := range l.rings.current() {
		ring.drain(func(o *observed) {
			o.resolve(&seen, l.members[:0])
			l.members = seen.Members
			emit(&seen)
		})
	}
}

// resolve fills in to, with the members appended to names.
func (o *observed) resolve(to *Observation, names []pools.MemberNames) {
	*to = Observation{Resolver: o.resolver, Name: o.name, Type: o.qtype, TTL: o.ttl, Members: names}
	for _, id := range o.members[:o.count] {
		to.Members = append(to.Members, o.active.snapshot.Pools.NamesOf(id))
	}
	if !o.subnet.IsValid() {
		return
	}
	to.Subnet = netip.PrefixFrom(o.subnet, int(o.bits)).Masked()
	if scope := min(o.scope, o.bits); scope > 0 { // RFC 7871 7.3.1: a cached answer is for its scope
		to.Clients = netip.PrefixFrom(o.subnet, int(scope)).Masked()
	}
}
