// Package secondary keeps copies of zones that other servers, their primaries, have (RFC 1034 4.3.5, RFC 1996, RFC 9103).
//
//	refresh time, notification, or command
//	        |
//	   serial of a primary --- ours ------------------> confirmed: served for the expire time from now
//	        | newer
//	   IXFR, or AXFR --- invalid, too large, slow ----> the copy stays; the next primary, or again after the retry time
//	        |
//	   check as a zone of the configuration, write to disk, Changes
//
// A Keeper has one goroutine for each zone. It knows neither snapshots nor queries: the daemon builds the next snapshot
// from Copies.
package secondary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/dnsname"
	"meridian/zones"
)

// Zone is a zone that comes from primaries.
type Zone struct {
	Name      dnsname.Name
	Primaries []Primary
	MaxSize   int         // octets
	Leaving   bool        // it is served until the removal grace of its catalog ends: that no primary has it any more is no failure
	Copy      *zones.Copy // that is known already, of a zone that the keeper has not; nil: none
}

// Options are the options of a Keeper.
type Options struct {
	Logger *slog.Logger
	// Check reports what is wrong with a copy as a zone of the configuration; nil: nothing is checked. allowRemoval is that of Refresh.
	Check func(c *zones.Copy, allowRemoval bool) error
	// Report is called with what happens to zones. It must not block.
	Report func(Event)
	// Dial opens a TCP connection; nil: net.Dialer.
	Dial func(context.Context, netip.AddrPort) (net.Conn, error)
	// Jitter returns a number from 0 to 1; nil: a random one.
	Jitter func() float64
}

// Severity says how urgent an event is.
type Severity string

// The severities.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Event is what happened to a zone.
type Event struct {
	Zone     dnsname.Name
	Severity Severity
	Message  string
	Fields   map[string]string
}

// Keeper keeps the copies of zones current. Its methods are safe for concurrent use. A nil Keeper has no zones.
type Keeper struct {
	Options
	fetch   fetcher
	limits  *limits
	changes chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	zones map[dnsname.Name]*zone
	state string // directory of the files; empty: none are written

	forgotten map[dnsname.Name]time.Time // when the copies of zones were last forgotten
}

// New returns a keeper without zones. Close ends it.
func New(o Options) *Keeper {
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		}
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Report == nil {
		o.Report = func(Event) {}
	}
	k := &Keeper{
		forgotten: map[dnsname.Name]time.Time{}, Options: o, fetch: fetcher{o.Dial, time.Now}, limits: newLimits(), changes: make(chan struct{}, 1), zones: map[dnsname.Name]*zone{},
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// Use makes these the zones of the keeper. Files are written to the state directory; empty: none. It keeps the copies of
// zones that it has, and asks the primaries of new zones, and of those with other primaries, at once.
func (k *Keeper) Use(wanted []Zone, state string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state != state {
		removeUnfinished(state, time.Now())
	}
	k.state = state
	next, failing := make(map[dnsname.Name]*zone, len(wanted)), k.failingLocked()
	for _, w := range wanted {
		z := k.zones[w.Name]
		if z == nil {
			z = k.newZoneLocked(w)
		} else {
			z.change(w, k.spread(failing))
		}
		next[w.Name] = z
	}
	for name, z := range k.zones {
		if next[name] == nil {
			z.cancel()
		}
	}
	k.zones = next
	k.limits.keep(wanted)
}

const (
	failingAtOnce = 8                      // zones that fail and are checked at once with other settings
	failingPause  = 100 * time.Millisecond // for each of more zones, which are checked at random times
)

// failingLocked counts the zones with a failed last check.
func (k *Keeper) failingLocked() (n int) {
	for _, z := range k.zones {
		if z.fails() {
			n++
		}
	}
	return n
}

// spread returns when one of n zones that fail is checked, after a change of any zone: a catalog may change often, and a primary that
// fails is not asked for all zones each time.
func (k *Keeper) spread(n int) time.Duration {
	if n <= failingAtOnce {
		return 0
	}
	return time.Duration(k.Jitter() * float64(min(time.Duration(n)*failingPause, time.Minute)))
}

func (k *Keeper) newZoneLocked(w Zone) *zone {
	if at, ok := k.forgotten[w.Name]; ok && w.Copy != nil && !w.Copy.Confirmed.After(at) {
		w.Copy = nil // a reload that began before that has it
	}
	z := &zone{keeper: k, settings: w, copy: w.Copy, wake: make(chan struct{}, 1), requests: make(chan request), ended: make(chan struct{})}
	z.expired = z.copy != nil && z.copy.Expired(time.Now())
	var ctx context.Context
	ctx, z.cancel = context.WithCancel(k.ctx)
	if k.ctx.Err() != nil {
		close(z.ended)
		return z
	}
	k.running.Go(func() {
		defer close(z.ended)
		z.run(ctx)
	})
	return z
}

// Forget removes a zone with its copy, also from the disk. It is transferred whole if Use adds it again.
func (k *Keeper) Forget(name dnsname.Name) {
	k.mu.Lock()
	z, state := k.zones[name], k.state
	delete(k.zones, name)
	k.forgetLocked(name, time.Now())
	k.mu.Unlock()
	if z != nil {
		z.cancel()
		<-z.ended // it may write its copy until then
	}
	if err := remove(state, name); err != nil {
		k.Logger.Error("cannot remove the copy of a zone that is served no more", "zone", name, "error", err)
	}
}

// rememberForgotten is how long older copies of a zone are refused: longer than any reload takes.
const rememberForgotten = 24 * time.Hour

// forgetLocked notes that all copies of a zone that were confirmed before are not to be used any more.
func (k *Keeper) forgetLocked(name dnsname.Name, now time.Time) {
	maps.DeleteFunc(k.forgotten, func(_ dnsname.Name, at time.Time) bool { return now.Sub(at) > rememberForgotten })
	k.forgotten[name] = now
}

// Changes delivers when the copies have changed, or one expired.
func (k *Keeper) Changes() <-chan struct{} {
	if k == nil {
		return nil
	}
	return k.changes
}

func (k *Keeper) changed() {
	select {
	case k.changes <- struct{}{}:
	default:
	}
}

// Copies returns the copies of all zones that have one, expired or not.
func (k *Keeper) Copies() zones.Copies {
	all := zones.Copies{}
	for _, z := range k.all() {
		if c := z.current(); c != nil {
			all[c.Zone] = c
		}
	}
	return all
}

func (k *Keeper) all() []*zone {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]*zone, 0, len(k.zones))
	for _, z := range k.zones {
		all = append(all, z)
	}
	return all
}

func (k *Keeper) find(name dnsname.Name) *zone {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.zones[name]
}

func (k *Keeper) stateDir() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Notify asks the primaries of a zone soon, because one of them says that it has changed. It does not block.
func (k *Keeper) Notify(name dnsname.Name) {
	if z := k.find(name); z != nil {
		z.notify()
	}
}

// ErrUnknown is the error of a zone that has no primaries.
var ErrUnknown = errors.New("it is no zone with primaries")

// How says how a zone is refreshed by a command.
type How struct {
	Force        bool // the zone is transferred whole, whatever its serial is
	AllowRemoval bool // most zones may leave it, if it is a catalog
}

// Refresh asks the primaries of a zone now, and waits for the result.
func (k *Keeper) Refresh(ctx context.Context, name dnsname.Name, how How) error {
	z := k.find(name)
	if z == nil {
		return ErrUnknown
	}
	r := request{how, make(chan error, 1)}
	select {
	case z.requests <- r:
	case <-ctx.Done():
		return fmt.Errorf("another check of the zone still runs: %w", ctx.Err())
	case <-k.ctx.Done():
		return errors.New("the server is stopping")
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the check of the zone still runs; meridian zone status shows its result: %w", ctx.Err())
	}
}

// Status returns what is known of the zones, in order.
func (k *Keeper) Status(now time.Time) []Status {
	var all []Status
	for _, z := range k.all() {
		all = append(all, z.status(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(string(a.Zone), string(b.Zone)) })
	return all
}

// Waiting returns the zones that no primary has sent yet.
func (k *Keeper) Waiting() (names []dnsname.Name) {
	for _, z := range k.all() {
		if z.current() == nil {
			names = append(names, z.settingsNow().Name)
		}
	}
	slices.Sort(names)
	return names
}

// Close ends the keeper and waits for its goroutines. nil is a no-op.
func (k *Keeper) Close() {
	if k == nil {
		return
	}
	k.mu.Lock()
	k.stop()
	k.mu.Unlock()
	k.running.Wait()
}
