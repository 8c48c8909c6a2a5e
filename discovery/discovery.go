// Package discovery finds the addresses of names in other zones and keeps them current.
//
// Terms: a target is such a name, as used by a member of a pool, or the name as clients of a subnet resolve it (RFC 7871). A server is a recursive server to query. A lookup
// queries the A and AAAA records of a target; each answer lists addresses and has a TTL.
//
// A Watcher looks up each target again when its answer expires, in a goroutine for each target, and stores the result:
//
//	answer ──► addresses ──► one notification for all changes since the last
//	failure ─► addresses stay; retry with back-off
//
// A load balancer often answers with a different part of its addresses each time. An address therefore stays until
// several consecutive answers were without it: see addresses.go.
//
// Not here: the use of the addresses, whether endpoints respond (health), and DNSSEC: for validated answers, use a
// validating server over a trusted path.
package discovery

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/config"
	"meridian/polling"
)

const (
	maxPrompt = 64 // lookups of prompt targets that hold a slot
	maxSlow   = 64 // lookups of slow targets
	// promptTime is how long a lookup of a prompt target holds its slot; a usual lookup takes less.
	promptTime = 500 * time.Millisecond
)

// newLimits returns the limits of concurrent lookups. A target is prompt if it is new, or was resolved last time; it is
// slow if it could not be resolved last time.
func newLimits() *polling.Limits { return polling.NewLimits(maxPrompt, maxSlow, promptTime) }

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Options holds the dependencies of a Watcher.
type Options struct {
	Dial   Dial         // nil: a net.Dialer's
	Logger *slog.Logger // nil: slog.Default()
	// Remembered holds the addresses found by the previous process, by name. They are used until the first lookup:
	// after a restart without a reachable server, the targets keep their addresses.
	Remembered map[config.Target][]netip.Addr
}

// Watcher keeps the addresses of targets current. Its methods are safe for
// concurrent use.
type Watcher struct {
	dial     Dial
	log      *slog.Logger
	restored map[config.Target][]netip.Addr
	limits   *polling.Limits // of concurrent lookups
	changes  chan struct{}
	lookups  chan struct{} // capacity 1
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup // a goroutine for each target

	mu      sync.Mutex // guards the fields below, and the fields of targets marked so
	targets map[identity]*host
	given   map[config.Target]Given // see Use
}

// identity identifies a target: its name and client subnet, and its servers.
type identity struct {
	target  config.Target
	servers string
}

// New returns a Watcher. Close stops it.
func New(o Options) *Watcher {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	t := &Watcher{
		dial:     o.Dial,
		log:      o.Logger,
		restored: o.Remembered,
		limits:   newLimits(),
		changes:  make(chan struct{}, 1),
		lookups:  make(chan struct{}, 1),
		targets:  make(map[identity]*host),
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Close stops all lookups and waits for them.
func (t *Watcher) Close() {
	t.stop()
	t.running.Wait()
}

// Changes delivers after the addresses of a target changed that is followed or was until recently.
func (t *Watcher) Changes() <-chan struct{} { return t.changes }

// Watch is a subscription to some targets.
type Watch struct {
	watcher *Watcher
	targets []*host
}

// Follow watches targets, querying servers in this order. The addresses of targets that are already watched with the
// same servers are available at once; the others are looked up at once. A target with changed servers starts with the
// addresses that the former servers had found.
func (t *Watcher) Follow(servers []netip.AddrPort, targets []config.Target) *Watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &Watch{watcher: t, targets: make([]*host, len(targets))}
	key := joinedNames(servers)
	for i, target := range targets {
		id := identity{target, key}
		g := t.targets[id]
		if g == nil {
			g = t.newHost(id, slices.Clone(servers))
			t.carryOverLocked(g)
			if from, ok := t.given[target]; ok {
				g.followLocked(from) // without a report: its watch starts
			}
			t.targets[id] = g
			t.running.Go(g.run)
		}
		g.followers++
		f.targets[i] = g
	}
	return f
}

// Remember returns the addresses of all watched targets that have any.
func (t *Watcher) Remember() map[config.Target][]netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make(map[config.Target][]netip.Addr)
	for id, g := range t.targets {
		if g.known.any() {
			found[id.target] = g.known.list()
		}
	}
	return found
}

// carryOverLocked sets the addresses of g to those that other servers had found for its name, or to the saved ones.
func (t *Watcher) carryOverLocked(g *host) {
	for id, other := range t.targets {
		if id.target == g.target && other.known.any() {
			g.known, g.since = other.known, other.since
			return
		}
	}
	if addrs := t.restored[g.target]; len(addrs) > 0 {
		g.known, g.since = restore(addrs), time.Now()
		delete(t.restored, g.target) // once: later results are newer
	}
}

// Close ends the subscription. Close is idempotent.
func (f *Watch) Close() {
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	for _, g := range f.targets {
		if g.followers--; g.followers == 0 {
			g.stop()
			delete(f.watcher.targets, g.identity)
		}
	}
	f.targets = nil
}

// FirstRound waits until every target was looked up once, or ctx ends, and returns the number of targets without an
// address.
func (f *Watch) FirstRound(ctx context.Context) (unresolved int) {
	for _, g := range f.targets {
		select {
		case <-g.firstDone:
		case <-ctx.Done():
		}
	}
	found := f.Addresses()
	return len(f.targets) - len(found)
}

// Addresses returns the addresses of the targets that have any.
func (f *Watch) Addresses() map[config.Target]Addresses {
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	found := make(map[config.Target]Addresses, len(f.targets))
	for _, g := range f.targets {
		if g.known.any() {
			found[g.target] = Addresses{g.known.list(), g.since}
		}
	}
	return found
}

// Status describes a target.
type Status struct {
	Since    time.Time // time of the last change of the addresses; without addresses: start of watching
	Failing  time.Time // start of the consecutive failures; zero: the last lookup succeeded
	Failures int       // consecutive failed lookups
	Reason   string    // reason of the last failure, e.g. `A: 192.0.2.53:53: response code SERVFAIL`
	Next     time.Time // time of the next lookup; past, or zero: it is running

	// SubnetIgnored is set if the last response did not use the client subnet of the target: its addresses are those for the
	// resolver's own place.
	SubnetIgnored bool

	From string       // the node that gives the addresses; empty: this one
	Own  []netip.Addr // with From: found by the last lookup of this node, if others are given
}

// Status returns the status of all targets; after Close, of none.
func (f *Watch) Status() map[config.Target]Status {
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	all := make(map[config.Target]Status, len(f.targets))
	for _, g := range f.targets {
		all[g.target] = Status{g.since, g.failing.since, g.failing.failures, g.failing.reason, g.next, g.subnetIgnored, g.from, g.otherLocked()}
	}
	return all
}

func joinedNames(servers []netip.AddrPort) string {
	var b strings.Builder
	for i, s := range servers {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.String())
	}
	return b.String()
}
