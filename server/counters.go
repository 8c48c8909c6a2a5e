package server

import "sync/atomic"

// counter names one of the things that a server counts.
type counter uint8

const (
	udpQueries counter = iota
	tcpQueries
	truncated
	failedOpen
	clientSubnets
	dropped
	unsent
	panics
	tcpAccepted
	tcpEvicted
	tcpClosed
	rcodes       // and those that follow, one for each response code
	counterCount = rcodes + rcodeCount
)

// rcodeCount is how many response codes are counted apart: 0 to BADCOOKIE.
const rcodeCount = 24

// localCounters counts without synchronisation: one goroutine's own, published now and then.
type localCounters [counterCount]uint32

// sharedCounters is where tallies are published; safe for concurrent use.
type sharedCounters struct {
	_      [64]byte // keeps other fields off the cache lines that workers write
	values [counterCount]atomic.Uint64
	_      [64]byte
}

// publish moves t's counts into s. Several goroutines may publish into one
// totals; on the query path each worker has its own, once a batch.
func (s *sharedCounters) publish(t *localCounters) {
	for c, n := range t {
		if n != 0 {
			s.values[c].Add(uint64(n))
			t[c] = 0
		}
	}
}

// Counters is a reading of what a server has counted since its start.
type Counters struct {
	Queries    uint64             // messages taken, by whichever transport
	UDP        uint64             // of these, by UDP
	TCP        uint64             // of these, by TCP
	Rcodes     [rcodeCount]uint64 // answers, by extended response code
	Truncated  uint64             // answers with TC set
	FailedOpen uint64             // answers from a pool that fails open
	ECS        uint64             // queries with a client-subnet option
	Dropped    uint64             // messages that got no answer: no query, or not to be sent
	Unsent     uint64             // of these: UDP answers that found no room in the send buffer
	Panics     uint64             // queries that ended in SERVFAIL by a fault of ours
	Accepted   uint64             // TCP connections accepted
	Evicted    uint64             // TCP connections closed for a new one, at a limit
	Open       uint64             // TCP connections now
}

// add adds s to c.
func (c *Counters) add(s *sharedCounters) {
	read := func(which counter) uint64 { return s.values[which].Load() }
	closed := read(tcpClosed) // before tcpAccepted, so that Open never falls below 0
	accepted := read(tcpAccepted)
	n := Counters{
		UDP:        read(udpQueries),
		TCP:        read(tcpQueries),
		Truncated:  read(truncated),
		FailedOpen: read(failedOpen),
		ECS:        read(clientSubnets),
		Dropped:    read(dropped),
		Unsent:     read(unsent),
		Panics:     read(panics),
		Accepted:   accepted,
		Evicted:    read(tcpEvicted),
		Open:       accepted - closed,
	}
	n.Queries = n.UDP + n.TCP
	for i := range n.Rcodes {
		n.Rcodes[i] = read(rcodes + counter(i))
	}
	c.merge(&n)
}

// merge adds n to c.
func (c *Counters) merge(n *Counters) {
	c.Queries += n.Queries
	c.UDP += n.UDP
	c.TCP += n.TCP
	for i := range c.Rcodes {
		c.Rcodes[i] += n.Rcodes[i]
	}
	c.Truncated += n.Truncated
	c.FailedOpen += n.FailedOpen
	c.ECS += n.ECS
	c.Dropped += n.Dropped
	c.Unsent += n.Unsent
	c.Panics += n.Panics
	c.Accepted += n.Accepted
	c.Evicted += n.Evicted
	c.Open += n.Open
}
