// Package control is what operators see and change of a running server: status, explanations,
// forecasts, events, overrides, holds and reloads.
//
//	view       configuration, pools and overrides as readers see them: replaced as a whole, no lock
//	override   drain, force up, force down, weight, now or later; refused if a name would have no answer
//	status     why each member is in its state, and what changes it next
//	explain    why a client gets an answer
//	reports    pool modes, deferred ejections and lost regions, once each: log lines and events
//
// Control decides nothing about queries: package pools does. The daemon gives it each generation of
// the configuration, and calls it with health state changes, load reports and once a second.
package control

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/cluster/rollout"
	"meridian/control/event"
	"meridian/control/event/notify"
	"meridian/control/generations"
	"meridian/control/state"
	"meridian/dnsname"
	"meridian/health"
	"meridian/loads"
	"meridian/pools"
	"meridian/server"
	"meridian/server/answer"
)

// Control is the operator's interface to a running server. Its methods are safe for concurrent
// use, also during a reload; they never delay an answer.
//
// Control owns the overrides. They refer to names in the configuration and are applied to the tree
// of each reload. An override with a target that is not in the configuration is kept for a later one.
type Control struct {
	reporter
	server    *server.Server
	startedAt time.Time

	// Set by Restore and Use before the first configuration serves.
	prober   *health.Prober
	notifier *notify.Notifier
	writer   atomic.Pointer[state.Writer] // nil: the state is in memory only
	load     Loader

	generations atomic.Pointer[generations.Store] // nil: none serves yet
	rollout     atomic.Pointer[rollout.Node]      // nil: this node is in no cluster

	copies    copies
	conflicts memberConflicts

	conditions conditions
	states     stateLog

	changing sync.Mutex // held while an operator's change of overrides is checked and made; taken before mu

	mu       sync.Mutex // held while overrides and pools change; guards the fields below
	pending  []pending
	unsent   unsentLog
	badProxy unsentLog // of PROXY headers

	errorsReported   time.Time // the time of the last report of a resolver that an event is about
	errorsReportedAt time.Time // when that event was made

	quarantineReported uint64 // the number of the last packet in quarantine that was reported

	// The state shown to readers, replaced as a whole under mu; nil at first. Reading takes no
	// lock, so readers delay neither each other nor changes.
	view atomic.Pointer[view]

	startup     startup
	stopping    atomic.Bool         // shutdown has started
	requests    chan ReloadRequest  // of operators
	upgrades    chan UpgradeRequest // of operators
	suspended   atomic.Bool         // another process takes over
	reloads     reloadCounts
	panics      atomic.Uint64                  // during builds
	metrics     atomic.Pointer[MetricsStatus]  // nil: not scraped yet
	lastGood    atomic.Pointer[LastGoodStatus] // nil: the configuration itself is served
	quarantined *state.Quarantined             // nil: no state file was quarantined; set before the first reader
	restored    Restored
	notifyZone  atomic.Pointer[func(dnsname.Name) int] // UseZoneNotify; nil: not set

	history history
	shares  *shares
	usage   usage

	resolvers resolverStats
	top       topQueries

	inputs  *SharedInputs // nil: inputs are not shared; guarded by mu
	sharing *Sharing      // nil: overrides are not shared; set before the first configuration serves
	shared  sharedRecords // guarded by mu
}

// pending is a tree that does not answer yet but is about to.
type pending struct {
	tree  *pools.Tree
	loads *loads.Watch
}

// New returns the Control of a server that does not answer yet.
func New(server *server.Server, log *slog.Logger) *Control {
	to, now := reporter{log, event.NewLog(nil)}, time.Now()
	return &Control{
		reporter: to, conditions: conditions{reporter: to}, states: stateLog{events: to.events}, server: server,
		startedAt: now, shares: newShares(now), requests: make(chan ReloadRequest),
		upgrades: make(chan UpgradeRequest),
	}
}

// Use sets the prober and the notifier that Control reports about, before the first configuration
// serves.
func (c *Control) Use(prober *health.Prober, notifier *notify.Notifier) {
	c.prober, c.notifier = prober, notifier
}

// Prepare carries over the state of the current tree into tree, which does not answer yet, and
// applies overrides and load reports to it from now on, until Commit or Abort.
func (c *Control) Prepare(tree *pools.Tree, loads *loads.Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, pending{tree, loads})
	c.states.prepare(tree)
	at := c.currentView()
	if at.Snapshot != nil {
		tree.CarryOver(at.Snapshot.Pools)
	} else {
		tree.RestoreEjections(c.restored.Ejections, time.Now())
		tree.RestoreLoads(c.restored.Loads, time.Now())
	}
	tree.SetOverrides(at.overrides.forTree())
}

// EndFirstRound ends the ejections that Prepare carried over into tree and the first round of health checks has not confirmed.
func (c *Control) EndFirstRound(tree *pools.Tree) {
	c.change(tree, func() []pools.Change { return tree.EndFirstRound(time.Now()) })
}

// Abort ends Prepare for a tree that will not answer.
func (c *Control) Abort(tree *pools.Tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removePendingLocked(tree)
	c.states.drop(tree)
}

func (c *Control) removePendingLocked(tree *pools.Tree) {
	c.pending = slices.DeleteFunc(c.pending, func(a pending) bool { return a.tree == tree })
}

// updateLocked replaces the view.
func (c *Control) updateLocked(edit func(*view)) {
	next := c.currentView()
	edit(next)
	c.view.Store(next)
}

// Commit makes g the generation that Control shows and controls. The server already answers from
// its snapshot, and no query reads the previous one.
func (c *Control) Commit(g Generation) {
	c.commit(g)
	c.states.serve(g.Snapshot.Pools)
	if c.conditions.serve(g.Snapshot.Pools) {
		c.markDirty()
	}
}

func (c *Control) commit(g Generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removePendingLocked(g.Snapshot.Pools)
	said := slices.Clone(c.currentView().overrides) // readers may hold the previous slice
	for i := range said {
		s := &said[i]
		missing := findTarget(s.Target, g.Snapshot.Config) != nil
		if missing && !s.Unknown && s.Owner == "" {
			c.log.Warn("override target not in configuration; kept for a later one", "target", s.Target.String(), "kind", s.Kind)
		}
		s.Unknown = missing
	}
	c.updateLocked(func(m *view) { m.Generation, m.overrides = g, said })
	c.resolvers.use(&g.Snapshot.Config.ResolverStats, time.Now())
	c.useTop(&g.Snapshot.Config.Server.Top)
}

// Apply applies health state changes to a tree, serving or prepared, and reports their effects.
func (c *Control) Apply(tree *pools.Tree, transitions []health.Transition) {
	c.states.apply(tree, transitions)
	c.change(tree, func() []pools.Change { return tree.Apply(transitions) })
}

// change runs change, which modifies tree, and reports its effects.
func (c *Control) change(tree *pools.Tree, change func() []pools.Change) {
	if c.conditions.apply(tree, change) {
		c.markDirty()
	}
}

// RecordLatency publishes the status of the latency table.
func (c *Control) RecordLatency(s *LatencyStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(m *view) { m.latency = s })
}

// RecordPanic logs and counts a panic during a build, in this order: each panic that is counted is in the log.
func (c *Control) RecordPanic(reason any, stack []byte) {
	c.log.Error("panic while building; the previous state keeps serving", "reason", fmt.Sprint(reason), "stack", string(stack))
	c.panics.Add(1)
}

// overrideLocked replaces the overrides.
func (c *Control) overrideLocked(next overrides) {
	c.updateLocked(func(m *view) { m.overrides = next })
	c.followRemovals(c.currentView(), time.Now())
	list := next.forTree()
	if at := c.currentView(); at.Snapshot != nil {
		tree := at.Snapshot.Pools
		c.change(tree, func() []pools.Change {
			changes, _ := tree.SetOverrides(list)
			return changes
		})
	}
	for _, a := range c.pending {
		a.tree.SetOverrides(list)
	}
	c.markDirty()
}

// Overrides lists the active overrides, the latest last.
func (c *Control) Overrides() []Override {
	return append([]Override{}, c.currentView().overrides...)
}

// Counters returns the current counters of the server.
func (c *Control) Counters() answer.Counters { return c.server.Counters() }

// Report applies an external result to an address with a check of type push. It is valid for
// lease, or for the check's own lease if that is 0.
func (c *Control) Report(check string, addr netip.Addr, up bool, reason string, lease time.Duration) error {
	if c.suspended.Load() {
		return ErrUpgrading
	}
	err := c.prober.Report(check, addr, up, reason, lease)
	if err == nil {
		return nil
	}
	what := strings.TrimPrefix(err.Error(), "reporting: ") // the caller knows the operation
	if errors.Is(err, health.ErrNoPush) {
		return &RequestError{NotFound: true, What: what}
	}
	return errors.New(what)
}

// Clear releases holds of the addresses of a target: flap damping, hold_down and the wait for
// failback. Members kept up by max_ejection are not affected. It returns the number of held
// addresses.
func (c *Control) Clear(t Selector) (held int, err error) {
	if c.suspended.Load() {
		return 0, ErrUpgrading
	}
	at := c.currentView()
	if err := findTarget(t, at.Snapshot.Config); err != nil {
		return 0, err
	}
	var targets []int
	for p := range at.Snapshot.Pools.Status() {
		for i := range p.Members {
			if m := &p.Members[i]; covers(t, p.Pool, m) {
				targets = append(targets, targetsOf(m.Addresses)...)
			}
		}
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	held, ok := at.Watch.ClearAll(targets)
	if !ok {
		return 0, ErrProberStalled
	}
	c.log.Warn("cleared", "target", t.String(), "held", held, "addresses", len(targets))
	return held, nil
}

// ErrProberStalled is returned if the prober did not answer a request in time.
var ErrProberStalled = errors.New("the prober does not reply; see the log")

// attributes returns the log attributes of an override.
func (s *Override) attributes() []any {
	a := []any{"target", s.Target.String(), "kind", s.Kind, "reason", s.Reason}
	if s.Value != "" {
		a = append(a, "value", s.Value)
	}
	if s.Owner != "" {
		a = append(a, "owner", s.Owner)
	}
	if s.Shared != nil {
		a = append(a, "by", s.Shared.By, "node", s.Shared.Node)
	}
	if s.IsScheduled() {
		a = append(a, "at", s.At.Format(time.RFC3339))
	}
	if !s.Until.IsZero() {
		a = append(a, "until", s.Until.Format(time.RFC3339))
	}
	if r := s.Replaced; r != nil {
		a = append(a, "replaced", r.Kind, "replaced_reason", r.Reason)
		if !r.At.IsZero() {
			a = append(a, "replaced_at", r.At.Format(time.RFC3339))
		}
	}
	return a
}
