package server

import (
	"container/heap"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
)

// tcpConns is the set of open connections of one listener, within the limits of config.TCP. At a
// limit, the longest-idle connection is closed for a new one, so that clients that only hold
// connections open do not block others. Its methods are safe for concurrent use.
type tcpConns struct {
	mu       sync.Mutex // guards all below
	all      idleQueue
	byClient map[netip.Addr]*idleQueue // by openConn.client; without empty queues
	closing  bool
	evicted  [limitCount]uint64 // the number of connections closed by each limit
}

// connLimit is a limit of config.TCP.
type connLimit uint8

const (
	limitMax connLimit = iota
	limitPerClient
	limitCount
)

// String returns the key of the limit in the configuration.
func (l connLimit) String() string { return [limitCount]string{"max", "per_client"}[l] }

// openConn is an open connection, as far as the limits need to know it.
type openConn struct {
	source netip.Addr
	client netip.Addr // the client for the limit per client, see clientNetwork

	unidentified bool // the client is not known yet: see tcpConns.identify. The lock of tcpConns guards it
	// active is the time of the last whole query, or of the accept, in nanoseconds since the
	// server was created.
	active          atomic.Int64
	abort           func()       // closes it at once, without waiting for anything
	drain           func(ending) // ends it when the received queries are answered
	inAll, inClient idleEntry    // the lock of tcpConns guards them
}

// seen makes this connection the one with the shortest idle time.
func (c *openConn) seen(s *Server) { c.active.Store(int64(time.Since(s.built))) }

// eviction is a connection that is to be closed for a new one.
type eviction struct {
	conn  *openConn
	limit connLimit
	count uint64 // of connections that the limit closed, with this one
}

func newTCPConns() *tcpConns { return &tcpConns{byClient: map[netip.Addr]*idleQueue{}} }

// add adds c and removes connections to stay within the limits. It returns false if no connection
// is accepted any more.
func (t *tcpConns) add(c *openConn, limits config.TCP) (evicted []eviction, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return nil, false
	}
	if !c.unidentified {
		evicted = t.addClientLocked(c, limits)
	}
	for len(t.all) >= limits.Max {
		evicted = append(evicted, t.evictLocked(&t.all, limitMax))
	}
	t.all.add(c, &c.inAll)
	return evicted, true
}

// addClientLocked adds c to the connections of its client, and removes others of them to stay within the limit.
func (t *tcpConns) addClientLocked(c *openConn, limits config.TCP) (evicted []eviction) {
	own := t.byClient[c.client]
	for own != nil && len(*own) >= limits.PerClient {
		evicted = append(evicted, t.evictLocked(own, limitPerClient))
		own = t.byClient[c.client]
	}
	if own == nil {
		own = new(idleQueue)
		t.byClient[c.client] = own
	}
	own.add(c, &c.inClient)
	return evicted
}

// evictLocked removes the longest-idle connection of q.
func (t *tcpConns) evictLocked(q *idleQueue, limit connLimit) eviction {
	c := q.longestIdle()
	t.removeLocked(c)
	t.evicted[limit]++
	return eviction{c, limit, t.evicted[limit]}
}

// remove removes c, unless it was evicted.
func (t *tcpConns) remove(c *openConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.inAll.conn != nil {
		t.removeLocked(c)
	}
}

func (t *tcpConns) removeLocked(c *openConn) {
	t.all.remove(&c.inAll)
	if c.unidentified {
		return
	}
	own := t.byClient[c.client]
	if own.remove(&c.inClient); len(*own) == 0 {
		delete(t.byClient, c.client)
	}
}

// close makes add accept no more, and calls each for every open connection.
func (t *tcpConns) close(each func(*openConn)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
	for _, e := range t.all {
		each(e.conn)
	}
}

// idleQueue is a heap of connections, the longest-idle one first. A query does not move its
// connection, which would take a lock: the heap is ordered by the last known activity, and a
// connection is moved when it is inspected. So each query causes at most one move.
type idleQueue []*idleEntry

// idleEntry is the place of a connection in an idleQueue.
type idleEntry struct {
	conn   *openConn // nil: in no queue
	active int64     // the last known value of openConn.active, which never decreases
	index  int
}

// longestIdle returns the connection with the oldest last query.
func (q *idleQueue) longestIdle() *openConn {
	for {
		first := (*q)[0]
		active := first.conn.active.Load()
		if active == first.active {
			return first.conn
		}
		first.active = active
		heap.Fix(q, 0)
	}
}

// add adds c at entry.
func (q *idleQueue) add(c *openConn, entry *idleEntry) {
	*entry = idleEntry{conn: c, active: c.active.Load()}
	heap.Push(q, entry)
}

// remove removes what add added at entry.
func (q *idleQueue) remove(entry *idleEntry) {
	heap.Remove(q, entry.index)
	*entry = idleEntry{}
}

// Len is part of heap.Interface.
func (q idleQueue) Len() int { return len(q) }

// Less is part of heap.Interface.
func (q idleQueue) Less(i, j int) bool { return q[i].active < q[j].active }

// Swap is part of heap.Interface.
func (q idleQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is part of heap.Interface.
func (q *idleQueue) Push(entry any) {
	e := entry.(*idleEntry) // add pushes no others
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop is part of heap.Interface.
func (q *idleQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
