// Package cluster shares the opinions of the vantages of a cluster, and makes the health states of a node follow what the
// vantages agree on.
//
//	health ──opinions──▶ Node ──blocks, heartbeats──▶ Transport ──▶ other nodes
//	health ◀─agreements─ Node ◀─of other vantages──── Transport
//	                     Node ◀─────exchanges───────▶ other nodes, while the transport is away
//
// A [Node] publishes the opinions of its prober, at most once in [publishInterval], and a heartbeat in each interval. It
// receives those of the other vantages, and decides about each of its own probes by package agreement. Every node does
// that for itself; the digests in the heartbeats show whether all came to the same result.
//
// A name is of one process. One that starts publishes nothing while another process has a live heartbeat under its name; see
// nameFreeAtLocked. A node publishes under it when that ends, an agent ends.
//
// A vantage is fresh while its heartbeat arrived within the last intervals, by the monotonic clock of the receiver. A node
// that receives nothing has no other fresh vantage: unless it is a majority on its own, its health states hold.
package cluster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"time"

	"meridian/cluster/observation"
	"meridian/config"
	"meridian/health"
)

// publishInterval is the shortest time between two publications of a node: four transactions a second.
const publishInterval = 250 * time.Millisecond

// Transport carries records between the vantages.
type Transport struct {
	// Publish replaces records by key. It returns when other vantages can read them.
	Publish func(context.Context, []observation.Record) error
	// Watch calls receive with what the vantages have published, first with what is stored, until ctx ends. It connects
	// again after an error.
	Watch func(ctx context.Context, receive func(Update))
}

// Update is what a transport has received.
type Update struct {
	Values    [][]byte // in the order in which they were published
	Live      bool     // they were published just now; false: they were stored before
	Connected bool
}

// Options holds the settings and dependencies of a Node.
type Options struct {
	Cluster   string
	Name      string // of this node
	Region    string // where it observes from
	Agent     bool   // it answers no queries
	Key       ed25519.PrivateKey
	Trust     map[string]ed25519.PublicKey // with this node
	Heartbeat time.Duration
	Stale     int  // heartbeats without which a vantage is not fresh
	TakesOver bool // another process has the name of this one until Begin
	Transport Transport
	Direct    *Direct                       // nil: without the transport, the node is alone
	Agree     func([]health.Agreement) bool // applies what the vantages agree on
	Report    func(level slog.Level, subject, message string)
	NameTaken func() // called when another process has the name of this one; it does not block. nil: nothing is called
}

// Node is this node in a cluster. Its methods are safe for concurrent use.
type Node struct {
	Options
	wake chan struct{} // capacity 1

	mu        sync.Mutex // guards all below
	outbox    *observation.Outbox
	book      *observation.Book
	own       map[health.ProbeID]probeState
	pending   map[health.ProbeID]bool // probes to decide about again
	vantages  map[string]vantageState
	connected bool
	everRead  bool // what the transport has stored has been read
	reached   bool // whether it is connected was reported
	contact   contact

	addressChanges uint64 // of which Direct.Learned has heard
	answered       uint64 // direct requests
	failed         uint64 // direct requests

	begun       bool      // Begin was called: it publishes
	passed      bool      // another process has the name until Begin
	previous    uint64    // boot of the previous process of this node, which has ended; 0: not known
	startedAt   time.Time // when this process started
	gone        uint64    // boot of a process that has the name no more, even if it publishes; 0: none
	taken       bool      // another process publishes under this name
	connectedAt time.Time // when it was connected
	reachableAt time.Time // since when it can publish: it is connected and begun
	unheard     bool      // no other vantage has been heard since it was connected
	present     bool      // its own heartbeats return, so that other nodes count it
	failing     bool      // the last publication failed

	publishing    bool
	publishedAt   time.Time // when the last publication began
	heartbeatAt   time.Time // when the next heartbeat is due
	published     uint64    // publications
	disagreements uint64
	digests       *digests                            // nil: to be computed
	rejectedAt    map[observation.Rejection]time.Time // when a rejection was last reported
}

// probeState is a probe of this node.
type probeState struct {
	entry     observation.Entry
	target    health.Target
	decided   health.Agreement // the last; ID 0: none
	decidedAt time.Time        // since when the last has been decided, whatever the reason and the votes
	agreed    health.Verdict   // the last that was decided; Unknown: none
}

// digests are those of a heartbeat.
type digests struct{ probes, agreed observation.Digest }

// New returns a node; Run starts it.
func New(o Options) *Node {
	now := time.Now()
	sender := observation.Sender{Vantage: o.Name, Region: o.Region, Boot: uint64(now.UnixNano())}
	return &Node{
		Options: o, wake: make(chan struct{}, 1),
		outbox: observation.NewOutbox(o.Cluster, o.Key, sender), book: observation.NewBook(o.Cluster, o.Trust),
		own: make(map[health.ProbeID]probeState), pending: make(map[health.ProbeID]bool), vantages: make(map[string]vantageState),
		heartbeatAt: now, startedAt: now, present: true, passed: o.TakesOver, rejectedAt: make(map[observation.Rejection]time.Time),
	}
}

// Opinion records an opinion of this node. The prober calls it; it does not block.
func (n *Node) Opinion(o health.Opinion) {
	defer n.signal()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.digests = nil
	if o.Gone {
		delete(n.own, o.ID)
		delete(n.pending, o.ID)
		n.outbox.Remove(o.ID)
		return
	}
	state := n.own[o.ID]
	state.entry = observation.Entry{ID: o.ID, Verdict: o.Verdict, Reason: o.Reason}
	if !o.Since.IsZero() {
		state.entry.Since = uint32(o.Since.Unix())
	}
	state.target = o.Target
	n.own[o.ID] = state
	n.pending[o.ID] = true
	n.outbox.Set(state.entry)
}

// Begin starts to publish, or starts again after End. Before that, the prober must have reported the opinions of all
// targets: the first heartbeat of a process ends what the previous one has published.
func (n *Node) Begin() {
	defer n.signal()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.passed {
		n.gone = n.previous
		if v := n.otherLocked(); v != nil {
			n.gone = v.Boot
		}
	}
	n.begun, n.passed, n.taken, n.reachableAt = true, false, false, time.Now()
}

// End stops publishing: another process takes over.
func (n *Node) End() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun, n.passed = false, true
}

func (n *Node) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run publishes and decides until ctx ends.
func (n *Node) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer n.publishLast()
	defer running.Wait()
	running.Go(func() { n.Transport.Watch(ctx, n.receive) })
	for ctx.Err() == nil {
		for _, a := range n.dueDirect(time.Now()) {
			running.Go(func() { n.ask(ctx, a) })
		}
		if records := n.due(time.Now()); len(records) > 0 {
			running.Go(func() { n.publish(ctx, records) })
		}
		n.decide(time.Now())
		select {
		case <-ctx.Done():
		case <-n.wake:
		case <-time.After(time.Until(n.nextEvent(time.Now()))):
		}
	}
}

// silentLocked reports whether n must not publish at now: before Begin, before what other vantages know has been read, or while
// another process has its name.
func (n *Node) silentLocked(now time.Time) bool {
	return !n.sharesLocked(now) || !n.begun || now.Before(n.nameFreeAtLocked())
}

// due returns what has to be published at now, or nothing.
func (n *Node) due(now time.Time) []observation.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	heartbeat := !now.Before(n.heartbeatAt)
	if !n.connected || n.silentLocked(now) || n.publishing || !heartbeat && !(n.outbox.Dirty() && now.Sub(n.publishedAt) >= publishInterval) {
		return nil
	}
	if heartbeat {
		n.heartbeatAt = now.Add(n.Heartbeat)
	}
	n.publishing, n.publishedAt = true, now
	return n.takeLocked(now)
}

// takeLocked returns the records to publish at now.
func (n *Node) takeLocked(now time.Time) []observation.Record {
	if v := n.otherLocked(); v != nil && v.Boot > n.outbox.Boot() { // of an earlier process, before the clock was set back
		n.outbox.Restart(v.Boot + 1)
	}
	if n.Direct != nil {
		n.outbox.SetAddress(n.Direct.Address())
	}
	return n.outbox.Take(n.heartbeatLocked(now))
}

func (n *Node) heartbeatLocked(now time.Time) observation.Heartbeat {
	own := n.digestsLocked()
	return observation.Heartbeat{At: now, Probes: own.probes, Agreed: own.agreed, Agent: n.Agent}
}

// lastTimeout is the time limit for the last publication.
const lastTimeout = time.Second

// publishLast publishes what is not published yet, and says that this process ends, so that the next one of this name need not
// wait.
func (n *Node) publishLast() {
	n.mu.Lock()
	now := time.Now()
	if n.silentLocked(now) || n.published == 0 {
		n.mu.Unlock()
		return
	}
	last := n.outbox.Last(n.heartbeatLocked(now))
	n.begun = false
	var asks []ask
	connected := n.connected
	if !connected {
		n.applyOwnLocked(last, now)
		asks = n.asksLocked(now)
	}
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lastTimeout)
	defer cancel()
	if !connected {
		n.askAll(ctx, asks)
		return
	}
	_ = n.Transport.Publish(ctx, last) // without it, the next process waits
}

// publish publishes records. If that fails, the next publication has all blocks.
func (n *Node) publish(ctx context.Context, records []observation.Record) {
	ctx, cancel := context.WithTimeout(ctx, n.freshFor())
	defer cancel()
	err := n.Transport.Publish(ctx, records)
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.signal()
	n.publishing = false
	n.reportPublishedLocked(ctx, err)
	if err != nil {
		n.outbox.PublishAgain()
		n.publishedAt = n.publishedAt.Add(n.Heartbeat) // not sooner than the next heartbeat
		return
	}
	n.published++
}

// reportPublishedLocked reports the first error of publications and the first success after it.
func (n *Node) reportPublishedLocked(ctx context.Context, err error) {
	was := n.failing
	n.failing = err != nil && !errors.Is(context.Cause(ctx), context.Canceled) // not at the end of the process
	switch {
	case n.failing && !was:
		n.Report(slog.LevelError, n.Name, "observations cannot be published in etcd, and nodes that read it do not count this one: "+err.Error())
	case err == nil && was:
		n.Report(slog.LevelInfo, n.Name, "observations are published again")
	}
}

// digestsLocked returns the digests of the probes that all nodes decide equally, and of the last decisions about them.
func (n *Node) digestsLocked() digests {
	if n.digests != nil {
		return *n.digests
	}
	ids, verdicts := make(map[health.ProbeID]health.Verdict, len(n.own)), make(map[health.ProbeID]health.Verdict, len(n.own))
	for id, p := range n.own {
		if p.target.Check.Quorum.Scope != config.RegionalScope {
			ids[id], verdicts[id] = health.Unknown, p.agreed
		}
	}
	n.digests = &digests{observation.DigestVerdicts(ids), observation.DigestVerdicts(verdicts)}
	return *n.digests
}

// receive applies what the transport has received.
func (n *Node) receive(u Update) {
	defer n.signal()
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if u.Connected != n.connected || !n.reached {
		n.connected, n.reached = u.Connected, true
		n.useStoreLocked(now)
	}
	for _, raw := range u.Values {
		changed, err := n.book.Receive(raw, u.Live, now)
		n.noteReceivedLocked(changed, err, now)
	}
	n.noteAddressesLocked()
}

// noteReceivedLocked makes n decide again about what a message has changed, or reports that it was rejected.
func (n *Node) noteReceivedLocked(changed []health.ProbeID, err error, now time.Time) {
	if err != nil {
		n.reportRejectedLocked(err, now)
	}
	for _, id := range changed {
		if _, ok := n.own[id]; ok {
			n.pending[id] = true
		}
	}
}

// useStoreLocked begins to share through the transport, or without it.
func (n *Node) useStoreLocked(now time.Time) {
	n.contact = contact{}
	n.outbox.PublishAgain() // what was being published may be lost
	switch {
	case n.connected:
		n.reachableAt, n.connectedAt, n.everRead = now, now, true
		n.Report(slog.LevelInfo, n.Cluster, "connected to the cluster")
	default:
		n.heartbeatAt, n.connectedAt = now, now
		n.reportLostLocked()
	}
}

// rejectionQuiet is the least time between two reports of messages rejected for the same reason.
const rejectionQuiet = time.Minute

// reportRejectedLocked reports a rejected message, unless one of the same reason was reported just before.
func (n *Node) reportRejectedLocked(err error, now time.Time) {
	var rejected *observation.RejectionError
	if !errors.As(err, &rejected) || now.Sub(n.rejectedAt[rejected.Reason]) < rejectionQuiet {
		return
	}
	n.rejectedAt[rejected.Reason] = now
	n.Report(slog.LevelWarn, n.Cluster, "message rejected: "+err.Error())
}
