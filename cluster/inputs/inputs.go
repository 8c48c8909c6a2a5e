// Package inputs shares the inputs of decisions beside health states: the addresses of targets, load reports, and the state of the
// controllers that shed load. With the same inputs, nodes give the same answers.
//
//	own lookups, polls ──▶ Exchange ──signed records──▶ etcd ──▶ other nodes
//	inputs of answers ◀── Exchange ◀──of other nodes──── etcd
//
// One rule decides: of the nodes that are fresh and have an input, the first by name gives it to all. Every node
// applies that rule for itself; there is no election. A node with nothing that another one does not give publishes nothing.
//
// A record is good while its node is fresh, by its heartbeats, and still the process that wrote it, and for [goodFor] after it
// arrived, by the clock of the receiver. It is renewed each [renewInterval]. Times in records are ages: clocks of nodes are not
// compared. While etcd is away no record is good, and a node goes on from the last values by its own lookups and polls.
package inputs

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	publishInterval = 250 * time.Millisecond // between two transactions at least: four a second
	octetsPerSecond = 8 << 10                // written by a node at most, on average
	renewInterval   = 10 * time.Second       // after which a record is written again
	goodFor         = 45 * time.Second       // after its arrival
	retryInterval   = 5 * time.Second        // after a failed write
	writeTimeout    = 5 * time.Second
	reportQuiet     = time.Minute // between two reports of rejections for one reason
	peersInterval   = time.Second // between two looks at which nodes are fresh
)

// Kind is a kind of input. It is the first part of the key of a record.
type Kind string

// The kinds.
const (
	LoadKind   Kind = "loads"
	TargetKind Kind = "targets"
)

// kinds lists the kinds that this version knows. Keys of others are ignored.
var kinds = []Kind{LoadKind, TargetKind}

// Peers holds the state of the other nodes of the cluster now.
type Peers struct {
	Connected bool              // to etcd
	Gives     bool              // this node publishes, and has heard the others for long enough to know their inputs
	Boot      uint64            // of this process
	Fresh     map[string]uint64 // the boots of the other nodes that are fresh
}

// Entry is a key of the store with its value.
type Entry struct {
	Key     string // KIND/NODE
	Value   []byte
	Deleted bool
}

// Options holds the settings and dependencies of an Exchange.
type Options struct {
	Cluster string
	Node    string
	Key     ed25519.PrivateKey
	Trust   map[string]ed25519.PublicKey
	Peers   func() Peers
	Put     func(context.Context, []Entry) error // in one transaction
	Report  func(level slog.Level, message string, attributes ...any)
	Changed func() // called when the result of [Exchange.Records] may have changed; it does not block
}

// Exchange holds the inputs that the nodes of a cluster give each other. Its methods are safe for concurrent use.
type Exchange struct {
	Options
	wake chan struct{} // capacity 1

	mu          sync.Mutex // guards all below
	offers      map[Kind]func(now time.Time) any
	dirty       map[Kind]bool
	published   map[Kind]bool // the last record has a body
	records     map[Kind]map[string]*received
	seq         uint64
	boot        uint64 // of seq
	publishedAt time.Time
	size        int // of the last publication
	failedAt    time.Time
	failing     bool // reported
	oversized   map[Kind]bool
	writes      uint64
	rejected    map[Rejection]uint64
	rejectedAt  map[Rejection]time.Time
	problem     error // why the records cannot be read although etcd can
	peers       Peers
}

// received is the last record of a node.
type received struct {
	boot, seq uint64
	body      json.RawMessage
	at        time.Time
}

// New returns an Exchange; Run publishes.
func New(o Options) *Exchange {
	x := &Exchange{
		Options: o, wake: make(chan struct{}, 1), offers: map[Kind]func(time.Time) any{}, dirty: map[Kind]bool{}, published: map[Kind]bool{},
		records: map[Kind]map[string]*received{}, oversized: map[Kind]bool{}, rejected: map[Rejection]uint64{}, rejectedAt: map[Rejection]time.Time{},
	}
	for _, kind := range kinds {
		x.records[kind] = map[string]*received{}
	}
	return x
}

// Offer sets the function that returns the inputs of a kind that this node gives; nil: none. It is called before Run.
func (x *Exchange) Offer(kind Kind, given func(now time.Time) any) { x.offers[kind] = given }

// Dirty makes the inputs of a kind of this node be published again.
func (x *Exchange) Dirty(kind Kind) {
	x.mu.Lock()
	x.dirty[kind] = true
	x.mu.Unlock()
	x.signal()
}

func (x *Exchange) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Record is a good record of another node.
type Record struct {
	Node string
	Seq  uint64
	Body json.RawMessage
	At   time.Time // when it arrived
}

// Records returns the good records of other nodes at now, by name, and the state of these nodes.
func (x *Exchange) Records(kind Kind, now time.Time) ([]Record, Peers) {
	peers := x.Peers()
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []Record
	for _, node := range slices.Sorted(maps.Keys(x.records[kind])) {
		r := x.records[kind][node]
		boot, fresh := peers.Fresh[node]
		if peers.Connected && fresh && boot == r.boot && len(r.body) > 0 && now.Sub(r.at) <= goodFor {
			all = append(all, Record{node, r.seq, r.body, r.at})
		}
	}
	return all, peers
}

// Receive applies records of the store: all of them, or those written just now. A problem says why it cannot be read although
// etcd can.
func (x *Exchange) Receive(entries []Entry, problem error, now time.Time) {
	x.mu.Lock()
	x.problem = problem
	for _, e := range entries {
		name, node, ok := strings.Cut(e.Key, "/")
		kind := Kind(name)
		of, known := x.records[kind]
		if !ok || !known || e.Deleted { // of a newer version, or removed by an operator: its node writes it again
			continue
		}
		r, err := open(e.Value, x.Cluster, kind, node, x.Trust)
		if err == nil {
			err = x.applyLocked(of, kind, r, now)
		}
		if err != nil {
			x.rejectLocked(reasonOf(err), err, now)
		}
	}
	x.mu.Unlock()
	x.Changed()
}

// applyLocked keeps a record that is later than the last one of its node.
func (x *Exchange) applyLocked(of map[string]*received, kind Kind, r *record, now time.Time) error {
	last := of[r.Node]
	switch {
	case last == nil || r.Boot > last.boot || r.Boot == last.boot && r.Seq > last.seq:
	case r.Boot == last.boot && r.Seq == last.seq: // read again
		return nil
	default:
		return reject(Replay, "%s of %s: record %d of boot %d was received before, or a later one", kind, r.Node, r.Seq, r.Boot)
	}
	body := r.Body
	if string(body) == "null" {
		body = nil
	}
	of[r.Node] = &received{r.Boot, r.Seq, body, now}
	return nil
}

// RejectBody counts a record with a body that cannot be used, and makes it good no more.
func (x *Exchange) RejectBody(kind Kind, r *Record, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if last := x.records[kind][r.Node]; last == nil || last.seq != r.Seq || len(last.body) == 0 {
		return
	}
	x.records[kind][r.Node].body = nil
	x.rejectLocked(Malformed, reject(Malformed, "%s of %s: %v", kind, r.Node, err), time.Now())
}

// rejectLocked counts a rejected record, and reports it unless one of the same reason was reported just before.
func (x *Exchange) rejectLocked(reason Rejection, err error, now time.Time) {
	x.rejected[reason]++
	if last := x.rejectedAt[reason]; !last.IsZero() && now.Sub(last) < reportQuiet {
		return
	}
	x.rejectedAt[reason] = now
	x.Report(slog.LevelWarn, "shared input rejected", "reason", string(reason), "error", err)
}

// Status describes an Exchange.
type Status struct {
	Writes   uint64 // transactions of this node
	Rejected map[Rejection]uint64
	Problem  error // why inputs are not shared although etcd can be reached; nil: they are, or it cannot
}

// Status returns the status of x.
func (x *Exchange) Status() Status {
	connected := x.Peers().Connected
	x.mu.Lock()
	defer x.mu.Unlock()
	s := Status{Writes: x.writes, Rejected: maps.Clone(x.rejected), Problem: x.problem}
	if s.Problem == nil && x.failing && connected {
		s.Problem = errUnwritten
	}
	return s
}
