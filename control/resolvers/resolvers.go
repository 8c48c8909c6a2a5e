// Package resolvers keeps statistics of the resolvers that query a server: how often each asks, for which clients, how
// long it keeps answers, and which answers it may still have after a member was drained.
//
// All of it comes from queries. What is known of a resolver's cache is an inference:
//
//	the resolver asks again       it has the new answer, unless several caches share its address
//	it does not ask again         it has the old answer until the TTL ends, or longer if it is known to keep answers longer
//
// The package knows no pools: it gets the names of the members of each answer.
package resolvers

import (
	"container/list"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"meridian/pools"
	"meridian/server/answer"
)

// answersPerResolver bounds the memory: the table keeps at most this many answers for each resolver that it may keep,
// over all resolvers.
const answersPerResolver = 8

// decay is the time in which the weight of a past query falls to 1/e.
const decay = 10 * time.Minute

// Table holds the statistics. It is safe for concurrent use.
type Table struct {
	mu       sync.Mutex // guards all below
	max      int        // resolvers
	since    time.Time  // when it began
	known    map[netip.Addr]*resolver
	recent   list.List // of *resolver, the last one to ask in front
	answers  int       // of all resolvers
	evicted  uint64    // resolvers that were removed for others
	removals []*removal
}

// resolver holds the data about a resolver.
type resolver struct {
	addr        netip.Addr
	first, last time.Time
	queries     uint64
	withSubnet  uint64 // queries with a client subnet
	clients     []Clients
	gaps        gaps
	ttl         time.Duration // of the last answer
	answers     map[answerKey]*cached
	at          *list.Element
}

// Clients are the clients of a resolver in a network, by the client subnets of its queries.
type Clients struct {
	Network netip.Prefix
	Queries uint64
}

// answerKey identifies what a resolver caches as one answer.
type answerKey struct {
	clients netip.Prefix
	name    uint64
	qtype   uint16
}

// cached is the last answer to a resolver.
type cached struct {
	at       time.Time
	ttl      time.Duration
	weight   float64 // its queries, the older ones less
	members  []pools.MemberNames
	awaiting []*holder // of removals: the old answers that the next one replaces
}

// New returns an empty table that keeps at most max resolvers.
func New(most int, now time.Time) *Table {
	return &Table{max: most, since: now, known: map[netip.Addr]*resolver{}}
}

// SetMax changes how many resolvers the table keeps.
func (t *Table) SetMax(most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.max = most
	t.evict()
}

// Observe adds an answer.
func (t *Table) Observe(o *answer.Observation, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.resolver(o.Resolver, now)
	r.queries++
	r.last, r.ttl = now, time.Duration(o.TTL)*time.Second
	if o.Subnet.IsValid() {
		r.withSubnet++
		r.countClients(o.Subnet)
	}
	key := answerKey{o.Clients, o.Name, o.Type}
	c := r.answers[key]
	if c == nil {
		c = new(cached)
		r.answers[key] = c
		t.answers++
	} else {
		gap := now.Sub(c.at)
		r.gaps.add(gap)
		c.weight *= math.Exp(-float64(gap) / float64(decay))
	}
	c.replace(o, now, now.Add(r.keeps(r.ttl)))
	if len(r.answers) > t.maxAnswersOfOne() {
		t.forgetAnswers(r)
	}
	t.evict()
}

// maxAnswersOfOne returns how many answers are kept of one resolver: a part of all, so that one that asks with many client
// subnets does not displace all others.
func (t *Table) maxAnswersOfOne() int { return max(answersPerResolver, t.max*answersPerResolver/8) }

// replace makes o the answer of c, which may be used until the given time.
func (c *cached) replace(o *answer.Observation, now, until time.Time) {
	c.at, c.ttl = now, time.Duration(o.TTL)*time.Second
	c.weight++
	if !slices.Equal(c.members, o.Members) {
		c.members = append(c.members[:0], o.Members...)
	}
	c.awaiting = slices.DeleteFunc(c.awaiting, func(h *holder) bool {
		if h.removal.has(c.members) { // it is answered all the same
			h.until = until
			return false
		}
		h.asked = true
		return true
	})
}

// resolver returns the entry of an address, as the most recent one, or creates it.
func (t *Table) resolver(addr netip.Addr, now time.Time) *resolver {
	r := t.known[addr]
	if r != nil {
		t.recent.MoveToFront(r.at)
		return r
	}
	r = &resolver{addr: addr, first: now, answers: map[answerKey]*cached{}}
	r.at = t.recent.PushFront(r)
	t.known[addr] = r
	return r
}

// evict removes the resolvers that have not asked for the longest time until the table is within its bounds. A resolver
// that alone has too many answers forgets those that have expired, else all.
func (t *Table) evict() {
	for len(t.known) > t.max || t.answers > t.max*answersPerResolver && len(t.known) > 1 {
		r := t.recent.Remove(t.recent.Back()).(*resolver)
		t.answers -= len(r.answers)
		delete(t.known, r.addr)
		t.evicted++
	}
	if t.answers > t.max*answersPerResolver {
		t.forgetAnswers(t.recent.Front().Value.(*resolver))
	}
}

// forgetAnswers removes the expired answers of a resolver; if there are few, all.
func (t *Table) forgetAnswers(r *resolver) {
	before := len(r.answers)
	for key, c := range r.answers {
		if c.at.Add(c.ttl).Before(r.last) {
			delete(r.answers, key)
		}
	}
	if len(r.answers) > before/2 {
		clear(r.answers)
	}
	t.answers -= before - len(r.answers)
}

// clientNetworks is the maximum number of networks kept of a resolver's clients: the most frequent ones.
const clientNetworks = 16

// countClients counts a query for clients in a network. With no room, it replaces the rarest network and takes over its
// count, so that a frequent one is never lost (the space-saving algorithm).
func (r *resolver) countClients(network netip.Prefix) {
	rarest := 0
	for i := range r.clients {
		if r.clients[i].Network == network {
			r.clients[i].Queries++
			return
		}
		if r.clients[i].Queries < r.clients[rarest].Queries {
			rarest = i
		}
	}
	if len(r.clients) < clientNetworks {
		r.clients = append(r.clients, Clients{network, 1})
		return
	}
	r.clients[rarest].Network = network
	r.clients[rarest].Queries++
}

// Resolver is the statistics of a resolver.
type Resolver struct {
	Address     netip.Addr
	First, Last time.Time // queries
	Queries     uint64
	WithSubnet  uint64        // of these, with a client subnet
	Clients     []Clients     // the most frequent ones, by client subnets
	TTL         time.Duration // of the last answer
	Gaps        int           // measured gaps between equal queries
	TypicalGap  time.Duration // the median; 0: none is measured
	ShortGap    time.Duration // a tenth of the gaps is shorter; 0: none is measured
	Caching     Caching
}

// Statistics is a state of the table.
type Statistics struct {
	Since     time.Time
	Resolvers []Resolver // the last one to ask first
	Evicted   uint64     // resolvers that were removed, because the table is full
}

// Statistics returns the current state.
func (t *Table) Statistics() Statistics {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Statistics{Since: t.since, Evicted: t.evicted, Resolvers: make([]Resolver, 0, len(t.known))}
	for e := t.recent.Front(); e != nil; e = e.Next() {
		r := e.Value.(*resolver)
		s.Resolvers = append(s.Resolvers, Resolver{
			Address: r.addr, First: r.first, Last: r.last, Queries: r.queries, WithSubnet: r.withSubnet, Clients: slices.Clone(r.clients),
			TTL: r.ttl, Gaps: r.gaps.count, TypicalGap: r.gaps.quantile(0.5), ShortGap: r.gaps.quantile(0.1), Caching: r.caching(),
		})
	}
	return s
}
