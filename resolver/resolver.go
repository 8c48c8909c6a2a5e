// Package resolver finds the addresses of names that others serve, and keeps
// them current.
//
// The words: a target is such a name, as a member of a pool has it. A server is
// a recursive server that is asked. A lookup asks for a target's A and its AAAA
// records; the answer to each lists addresses and says how long to believe it.
//
// A Tracker looks each target up again when its answer runs out, from a
// goroutine of the target's own, and keeps what it knows of it:
//
//	answer ──► addresses ──► a change is told, once for all that changed meanwhile
//	failure ─► the addresses stay as they were; asked again, ever less often
//
// What a load balancer's name leads to is often a part of all its addresses,
// another part each time. An address therefore stays until several answers in a
// row were without it: see addresses.go.
//
// Not here: what the addresses are for, whether anybody answers at them (health),
// and DNSSEC: whoever wants validated answers asks a server that validates, over a
// path that can be trusted.
package resolver

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
)

// maxLookups is how many lookups run at once.
const maxLookups = 64

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Options are what a Tracker takes from outside.
type Options struct {
	Dial   Dial         // nil: a net.Dialer's
	Logger *slog.Logger // nil: slog.Default()
	// Remembered is what the process before had found, by name, until it is looked
	// up: a restart must not lose what no server can be asked for just then.
	Remembered map[config.Name][]netip.Addr
}

// Watcher keeps the addresses of targets current. Its methods are safe for
// concurrent use.
type Watcher struct {
	dial    Dial
	log     *slog.Logger
	recalls map[config.Name][]netip.Addr
	slots   chan struct{} // one taken for each lookup under way
	changes chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup // a goroutine for each target

	mu      sync.Mutex // guards targets, and what of them says so
	targets map[identity]*host
}

// identity is what makes two targets one: the name, and who is asked for it.
type identity struct {
	name    config.Name
	servers string
}

// New makes a Tracker. Close ends it.
func New(o Options) *Watcher {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	t := &Watcher{
		dial:    o.Dial,
		log:     o.Logger,
		recalls: o.Remembered,
		slots:   make(chan struct{}, maxLookups),
		changes: make(chan struct{}, 1),
		targets: make(map[identity]*host),
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Close ends all lookups and waits for them.
func (t *Watcher) Close() {
	t.stop()
	t.running.Wait()
}

// Changes delivers when the addresses of some target have changed since it last
// delivered: of one that is being followed, or was until lately.
func (t *Watcher) Changes() <-chan struct{} { return t.changes }

// Watch is an interest in some targets.
type Watch struct {
	tracker *Watcher
	targets []*host
}

// Follow tracks targets, which servers are asked for in this order. Targets
// that are followed already, and the same servers asked, are known at once; the
// others are looked up at once. One whose servers change begins with the addresses
// that those before had found.
func (t *Watcher) Follow(servers []netip.AddrPort, names []config.Name) *Watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &Watch{tracker: t, targets: make([]*host, len(names))}
	key := joinedNames(servers)
	for i, name := range names {
		id := identity{name, key}
		g := t.targets[id]
		if g == nil {
			g = t.newTarget(id, slices.Clone(servers))
			t.carryOverLocked(g)
			t.targets[id] = g
			t.running.Go(g.run)
		}
		g.followers++
		f.targets[i] = g
	}
	return f
}

// Remember tells the addresses of all targets that are tracked and have any.
func (t *Watcher) Remember() map[config.Name][]netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make(map[config.Name][]netip.Addr)
	for id, g := range t.targets {
		if g.known.any() {
			found[id.name] = g.known.list()
		}
	}
	return found
}

// carryOverLocked gives g the addresses that other servers had found for its name, or
// those that are remembered.
func (t *Watcher) carryOverLocked(g *host) {
	for id, other := range t.targets {
		if id.name == g.name && other.known.any() {
			g.known, g.since = other.known, other.since
			return
		}
	}
	if addrs := t.recalls[g.name]; len(addrs) > 0 {
		g.known, g.since = restore(addrs), time.Now()
		delete(t.recalls, g.name) // once: what is found later is newer
	}
}

// Close ends the interest. Closing twice is closing once.
func (f *Watch) Close() {
	f.tracker.mu.Lock()
	defer f.tracker.mu.Unlock()
	for _, g := range f.targets {
		if g.followers--; g.followers == 0 {
			g.stop()
			delete(f.tracker.targets, g.identity)
		}
	}
	f.targets = nil
}

// FirstRound waits until every target was looked up once, or ctx ends, and
// reports how many have no address.
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

// Addresses tells the addresses of those targets that have any.
func (f *Watch) Addresses() map[config.Name]Addresses {
	f.tracker.mu.Lock()
	defer f.tracker.mu.Unlock()
	found := make(map[config.Name]Addresses, len(f.targets))
	for _, g := range f.targets {
		if g.known.any() {
			found[g.name] = Addresses{g.known.list(), g.since}
		}
	}
	return found
}

// Status is what is known of a target.
type Status struct {
	Since    time.Time // when the addresses became its own; that it has none, since when it is tracked
	Failing  time.Time // since when lookups fail; zero: the last one did not
	Failures int       // how many in a row
	Reason   string    // why the last one did, e.g. `A: 192.0.2.53:53: response code SERVFAIL`
	Next     time.Time // when it is looked up again; past, or zero: that is under way
}

// Status tells how all targets fare; of nobody after Close.
func (f *Watch) Status() map[config.Name]Status {
	f.tracker.mu.Lock()
	defer f.tracker.mu.Unlock()
	all := make(map[config.Name]Status, len(f.targets))
	for _, g := range f.targets {
		all[g.name] = Status{g.since, g.failing.since, g.failing.failures, g.failing.reason, g.next}
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
