package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/health"
	"meridian/load"
	"meridian/pools"
)

// Control is what an operator may ask of a running server and tell it. Its
// methods are safe for concurrent use, also while the configuration is reloaded;
// they never hold up an answer.
//
// Overrides are Control's own: they are known by the names in the configuration
// and given to the tree of each reload. What a tree has no member for is kept,
// for a later one may.
type Control struct {
	instance  *instance
	log       *slog.Logger
	startedAt time.Time

	mu      sync.Mutex // held while overrides and pools change; guards what follows
	pending []pending
	unsent  unsentLog

	// What readers see, replaced as a whole under mu; nil at first. A reader takes no lock,
	// so that readers delay neither each other nor changes.
	view atomic.Pointer[view]

	panics      atomic.Uint64                  // of builds
	lastGood    atomic.Pointer[LastGoodStatus] // nil: the configuration itself serves
	quarantined *Quarantined                   // nil: what was kept could be read; set before anybody asks
	restored    []pools.SavedEjection          // of the process before, for the first tree that answers

	recalledLoads pools.LoadMemory // likewise
}

// pending is a tree that does not answer yet, and is about to.
type pending struct {
	tree  *pools.Tree
	loads *load.Watch
}

func newControl(l *instance) *Control {
	return &Control{instance: l, log: l.Logger, startedAt: time.Now()}
}

// prepare has tree, which does not answer yet, carry over what outlives the one that
// does, and apply the overrides and load reports from now on, until settle or stay
// ends that.
func (c *Control) prepare(tree *pools.Tree, loads *load.Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, pending{tree, loads})
	at := c.currentView()
	if at.snapshot != nil {
		tree.CarryOver(at.snapshot.Pools)
	} else {
		tree.RestoreEjections(c.restored, time.Now())
		tree.RecallLoads(c.recalledLoads, time.Now())
	}
	tree.SetOverrides(at.overrides.forTree())
}

// abort ends what arrive began for a tree that will not answer.
func (c *Control) abort(tree *pools.Tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.departLocked(tree)
}

func (c *Control) departLocked(tree *pools.Tree) {
	c.pending = slices.DeleteFunc(c.pending, func(a pending) bool { return a.tree == tree })
}

// restore makes these the overrides before anything serves.
func (c *Control) restore(said overrides) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(m *view) { m.overrides = said })
}

// updateLocked replaces the view.
func (c *Control) updateLocked(edit func(*view)) {
	next := c.currentView()
	edit(next)
	c.view.Store(next)
}

// commit makes what g has what Control shows and steers. The server answers from its
// snapshot by now, and no query reads the snapshot before.
func (c *Control) commit(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.departLocked(g.snapshot.Pools)
	said := slices.Clone(c.currentView().overrides) // readers may hold the one before
	for i := range said {
		s := &said[i]
		missing := s.Target.validate(g.snapshot.Config) != nil
		if missing && !s.Unknown {
			c.log.Warn("override of what this configuration does not have; kept for one that does", "target", s.Target.String(), "kind", s.Kind)
		}
		s.Unknown = missing
	}
	c.updateLocked(func(m *view) {
		m.control, m.snapshot, m.watch, m.loads, m.targets, m.overrides = g, g.snapshot, g.watch, g.loads, g.targets, said
	})
}

// recordLatency takes note of how the round trips stand.
func (c *Control) recordLatency(s *LatencyStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(m *view) { m.latency = s })
}

// Override makes an operator's word hold until lasts is over, or until it is
// undone where lasts is 0, in place of what was said of the very target before.
// With a state folder it is on the disk when Override returns, likewise below,
// unless that cannot be written to.
func (c *Control) Override(t Selector, kind pools.Kind, reason string, lasts time.Duration) (Override, error) {
	now := time.Now().Round(0) // the wall's clock, by which it ends, whatever happens to this process
	said := Override{Target: t, Kind: kind.String(), Reason: reason, Since: now}
	if err := errors.Join(said.valid(), validSpan(lasts)); err != nil {
		return Override{}, err
	}
	if lasts > 0 {
		said.Until = now.Add(lasts)
	}
	if err := c.override(&said); err != nil {
		return Override{}, err
	}
	c.instance.state(true)
	return said, nil
}

func (c *Control) override(said *Override) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.currentView()
	said.Replaced = at.overrides.replaced(said.Target, said.Since)
	if err := said.Target.validate(at.snapshot.Config); err != nil {
		return err
	}
	next := at.overrides.with(*said)
	if len(next) > maxOverrides {
		return &RequestError{What: fmt.Sprintf("there are %d overrides already", maxOverrides), Hint: "undo some"}
	}
	c.overrideLocked(next)
	c.log.Warn("override begins", said.attributes()...)
	return nil
}

// Undo ends the override of exactly t; it must be of one of the kinds, unless
// none are given. It returns what it undid.
func (c *Control) Undo(t Selector, kinds ...pools.Kind) (Override, error) {
	undone, err := c.undo(t, kinds)
	if err == nil {
		c.instance.state(true)
	}
	return undone, err
}

func (c *Control) undo(t Selector, kinds []pools.Kind) (Override, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.currentView()
	said := at.overrides.of(t)
	if said == nil {
		if err := t.validate(at.snapshot.Config); err != nil {
			return Override{}, err
		}
		return Override{}, notFound(t.String()+" has no override", names(at.overrides, func(s *Override) string { return fmt.Sprintf("%s is %s", s.Target, s.Kind) }))
	}
	if len(kinds) > 0 && !slices.ContainsFunc(kinds, func(k pools.Kind) bool { return k.String() == said.Kind }) {
		return Override{}, &RequestError{What: fmt.Sprintf("%s is %s", t, said.Kind), Hint: "undrain ends a drain, force off ends a force"}
	}
	undone := *said
	c.overrideLocked(at.overrides.without(t))
	c.log.Warn("override undone", undone.attributes()...)
	return undone, nil
}

// startTicker has tick called once a second, also while the configuration is
// reloaded, until the function that it returns is called.
func (c *Control) startTicker() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			select {
			case now := <-second.C:
				c.onTick(now)
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); c.instance.waitOrLog(ended, "the overrides") }
}

// onTick does what comes with time: it ejects the members that max_ejection deferred and
// that fit by now, and ends the overrides whose time is over, by the
// wall's clock, which may be set.
func (c *Control) onTick(now time.Time) {
	defer c.recoverPanic("tick")
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.currentView()
	tree := at.snapshot.Pools
	c.reportUnsentLocked(now)
	c.instance.modes.apply(tree, func() []pools.Change { return tree.Tick(now) })
	c.instance.logDeferrals(tree)
	c.instance.lost.report(tree)
	left := at.overrides.at(now)
	if len(left) == len(at.overrides) {
		return
	}
	for i := range at.overrides {
		if s := &at.overrides[i]; s.ended(now) {
			c.log.Warn("override ended", s.attributes()...)
		}
	}
	c.overrideLocked(left)
}

// recoverPanic ends a panic in what it is deferred in: answers must go on.
func (c *Control) recoverPanic(what string) {
	if reason := recover(); reason != nil {
		c.log.Error("steering panicked and goes on", "in", what, "reason", reason, "stack", string(debug.Stack()))
	}
}

// overrideLocked makes these the overrides.
func (c *Control) overrideLocked(next overrides) {
	c.updateLocked(func(m *view) { m.overrides = next })
	list, tree := next.forTree(), c.currentView().snapshot.Pools
	c.instance.modes.apply(tree, func() []pools.Change {
		changes, _ := tree.SetOverrides(list)
		return changes
	})
	for _, a := range c.pending {
		a.tree.SetOverrides(list)
	}
	c.instance.markDirty()
}

// ejections is what the tree that answers, or is about to as the first, goes by.
func (c *Control) ejections() []pools.SavedEjection {
	at := c.currentView()
	if at.snapshot == nil {
		return c.restored
	}
	return at.snapshot.Pools.SaveEjections()
}

// loadMemory returns what the controllers of load in the tree that answers, or is about to as the
// first, remember.
func (c *Control) loadMemory() pools.LoadMemory {
	at := c.currentView()
	if at.snapshot == nil {
		return c.recalledLoads
	}
	return at.snapshot.Pools.LoadMemory()
}

// Overrides lists what holds, the latest last.
func (c *Control) Overrides() []Override {
	return append([]Override{}, c.currentView().overrides...)
}

// Counters is a reading of what the server has done.
func (c *Control) Counters() Counters { return c.instance.server.Counters() }

// Report tells the verdict of an address by a check of type push, as somebody
// outside found it; it holds for lease, or for the check's own where that is 0.
func (c *Control) Report(check string, addr netip.Addr, up bool, reason string, lease time.Duration) error {
	err := c.instance.prober.Report(check, addr, up, reason, lease)
	if err == nil {
		return nil
	}
	what := strings.TrimPrefix(err.Error(), "reporting: ") // which who does so knows
	if errors.Is(err, health.ErrNoPush) {
		return &RequestError{NotFound: true, What: what}
	}
	return errors.New(what)
}

// Clear ends what holds the addresses of a target down although their probes may
// pass: flap damping, hold_down, the wait for failback. What max_ejection keeps up
// stays so. It reports how many of them were held.
func (c *Control) Clear(t Selector) (held int, err error) {
	at := c.currentView()
	if err := t.validate(at.snapshot.Config); err != nil {
		return 0, err
	}
	var targets []int
	for p := range at.snapshot.Pools.Status() {
		for _, m := range p.Members {
			if t.covers(p.Pool, m.Member, m.Region) {
				targets = append(targets, targetsOf(m.Addresses)...)
			}
		}
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	held, ok := at.watch.ClearAll(targets)
	if !ok {
		return 0, errProberStalled
	}
	c.log.Warn("cleared", "target", t.String(), "held", held, "addresses", len(targets))
	return held, nil
}

// errProberStalled is of what the prober was asked for and did not do in time.
var errProberStalled = errors.New("the prober does not answer; see the log")

// attributes is an override as logs have it.
func (s *Override) attributes() []any {
	a := []any{"target", s.Target.String(), "kind", s.Kind, "reason", s.Reason}
	if !s.Until.IsZero() {
		a = append(a, "until", s.Until.Format(time.RFC3339))
	}
	if r := s.Replaced; r != nil {
		a = append(a, "replaced", r.Kind, "replaced_reason", r.Reason)
	}
	return a
}
