package server

import "sync/atomic"

// counter identifies a counter of a server.
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
	rcodes       // the first response code; the others follow
	counterCount = rcodes + rcodeCount
)

// rcodeCount is the number of response codes with a counter each: 0 to BADCOOKIE.
const rcodeCount = 24

// localCounters counts without synchronisation. One goroutine owns it and publishes it after each
// batch.
type localCounters [counterCount]uint32

// sharedCounters holds published counts; safe for concurrent use.
type sharedCounters struct {
	_      [64]byte // keeps other fields off the cache lines that workers write
	values [counterCount]atomic.Uint64
	_      [64]byte
}

// publish moves t's counts into s. Several goroutines may publish into one sharedCounters; on the
// query path each worker has its own and publishes once a batch.
func (s *sharedCounters) publish(t *localCounters) {
	for c, n := range t {
		if n != 0 {
			s.values[c].Add(uint64(n))
			t[c] = 0
		}
	}
}

// Counters holds the counts of a server since its start.
type Counters struct {
	Queries    uint64             // messages received, over all transports
	UDP        uint64             // of these, over UDP
	TCP        uint64             // of these, over TCP
	Rcodes     [rcodeCount]uint64 // answers, by extended response code
	Truncated  uint64             // answers with TC set
	FailedOpen uint64             // answers from a pool that fails open
	ECS        uint64             // queries with a client-subnet option
	Dropped    uint64             // messages without an answer: not a query, or the answer could not be sent
	Unsent     uint64             // of these: UDP answers without room in the send buffer
	Panics     uint64             // queries answered SERVFAIL because of a panic
	Accepted   uint64             // TCP connections accepted
	Evicted    uint64             // TCP connections closed for a new one at a limit
	Open       uint64             // open TCP connections
}

// add adds s to c.
func (c *Counters) add(s *sharedCounters) {
	read := func(which counter) uint64 { return s.values[which].Load() }
	closed := read(tcpClosed) // before tcpAccepted, so that Open is never negative
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
