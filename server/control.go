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
	"time"

	"meridian/health"
	"meridian/load"
	"meridian/pools"
	"meridian/resolver"
	"meridian/zones"
)

// Control is what an operator may ask of a running server and tell it. Its
// methods are safe for concurrent use, also while the configuration is reloaded;
// they never hold up an answer.
//
// Overrides are Control's own: they are known by the names in the configuration
// and given to the tree of each reload. What a tree has no member for is kept,
// for a later one may.
type Control struct {
	life  *life
	log   *slog.Logger
	began time.Time

	mu       sync.RWMutex // guards all below; never held while the prober is asked, see moment
	snapshot *zones.Snapshot
	watch    *health.Watch       // of the snapshot
	loads    *load.Following     // likewise
	targets  *resolver.Following // likewise
	arriving *pools.Tree         // to answer soon; nil: none
	said     overrides
	latency  *LatencyStatus // nil: nothing is measured
	reload   ReloadStatus

	setAside *SetAside         // nil: what was kept could be read; set before anybody asks
	recalled pools.Withdrawals // of the process before, for the first tree that answers
}

func newControl(l *life) *Control { return &Control{life: l, log: l.Logger, began: time.Now()} }

// arrive has tree, which does not answer yet, take over what outlives the one that
// does, and go by the overrides from now on, until settle or stay says what became
// of it.
func (c *Control) arrive(tree *pools.Tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arriving = tree
	if c.snapshot != nil {
		tree.Inherit(c.snapshot.Pools)
	} else {
		tree.Recall(c.recalled, time.Now())
	}
	tree.SetOverrides(c.said.forTree())
}

// stay says that what arrived does not answer.
func (c *Control) stay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arriving = nil
}

// settle makes a snapshot, its watch, its loads and its targets what Control speaks of.
// When it returns nobody reads the snapshot before.
func (c *Control) settle(snapshot *zones.Snapshot, watch *health.Watch, loads *load.Following, targets *resolver.Following) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshot, c.watch, c.loads, c.targets, c.arriving = snapshot, watch, loads, targets, nil
	c.said = slices.Clone(c.said) // readers may hold the one before
	for i := range c.said {
		s := &c.said[i]
		missing := s.Target.find(snapshot.Config) != nil
		if missing && !s.Unknown {
			c.log.Warn("override of what this configuration does not have; kept for one that does", "target", s.Target.String(), "kind", s.Kind)
		}
		s.Unknown = missing
	}
}

// tellLatency takes note of how the round trips stand.
func (c *Control) tellLatency(s *LatencyStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latency = s
}

// Override makes an operator's word hold until lasts is over, or until it is
// undone where lasts is 0, in place of what was said of the very target before.
// With a state folder it is on the disk when Override returns, likewise below,
// unless that cannot be written to.
func (c *Control) Override(t Target, kind pools.Kind, reason string, lasts time.Duration) (Override, error) {
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
	c.life.state(true)
	return said, nil
}

func (c *Control) override(said *Override) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	said.Replaced = c.said.replaced(said.Target, said.Since)
	if err := said.Target.find(c.snapshot.Config); err != nil {
		return err
	}
	next := c.said.with(*said)
	if len(next) > maxOverrides {
		return &Refused{What: fmt.Sprintf("there are %d overrides already", maxOverrides), Hint: "undo some"}
	}
	c.overrideLocked(next)
	c.log.Warn("override begins", said.attributes()...)
	return nil
}

// Undo ends the override of exactly t; it must be of one of the kinds, unless
// none are given. It returns what it undid.
func (c *Control) Undo(t Target, kinds ...pools.Kind) (Override, error) {
	undone, err := c.undo(t, kinds)
	if err == nil {
		c.life.state(true)
	}
	return undone, err
}

func (c *Control) undo(t Target, kinds []pools.Kind) (Override, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	said := c.said.of(t)
	if said == nil {
		if err := t.find(c.snapshot.Config); err != nil {
			return Override{}, err
		}
		return Override{}, unknown(t.String()+" has no override", names(c.said, func(s *Override) string { return fmt.Sprintf("%s is %s", s.Target, s.Kind) }))
	}
	if len(kinds) > 0 && !slices.ContainsFunc(kinds, func(k pools.Kind) bool { return k.String() == said.Kind }) {
		return Override{}, &Refused{What: fmt.Sprintf("%s is %s", t, said.Kind), Hint: "undrain ends a drain, force off ends a force"}
	}
	undone := *said
	c.overrideLocked(c.said.without(t))
	c.log.Warn("override undone", undone.attributes()...)
	return undone, nil
}

// ticking has tick called once a second, also while the configuration is
// reloaded, until the function that it returns is called.
func (c *Control) ticking() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			select {
			case now := <-second.C:
				c.tick(now)
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); c.life.await(ended, "the overrides") }
}

// tick does what comes with time: it heeds the turns that max_withdraw held and
// that fit by now, and ends the overrides whose time is over, by the
// wall's clock, which may be set.
func (c *Control) tick(now time.Time) {
	defer c.survive("tick")
	c.mu.Lock()
	defer c.mu.Unlock()
	tree := c.snapshot.Pools
	c.life.modes.changing(tree, func() []pools.Change { return tree.Tick(now) })
	c.life.tellWithheld(tree)
	c.life.spills.tell(tree)
	left := c.said.at(now)
	if len(left) == len(c.said) {
		return
	}
	for i := range c.said {
		if s := &c.said[i]; s.ended(now) {
			c.log.Warn("override ended", s.attributes()...)
		}
	}
	c.overrideLocked(left)
}

// survive ends a panic in what it is deferred in: answers must go on.
func (c *Control) survive(what string) {
	if reason := recover(); reason != nil {
		c.log.Error("steering panicked and goes on", "in", what, "reason", reason, "stack", string(debug.Stack()))
	}
}

// overrideLocked makes these the overrides.
func (c *Control) overrideLocked(next overrides) {
	c.said = next
	list := next.forTree()
	c.life.modes.changing(c.snapshot.Pools, func() []pools.Change {
		changes, _ := c.snapshot.Pools.SetOverrides(list)
		return changes
	})
	if c.arriving != nil {
		c.arriving.SetOverrides(list)
	}
	c.life.note()
}

// withdrawals is what the tree that answers, or is about to as the first, goes by.
func (c *Control) withdrawals() pools.Withdrawals {
	at := c.current()
	if at.snapshot == nil {
		c.mu.RLock()
		defer c.mu.RUnlock()
		return c.recalled
	}
	return at.snapshot.Pools.Withdrawals()
}

// Overrides lists what holds, the latest last.
func (c *Control) Overrides() []Override {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return append([]Override{}, c.said...)
}

// Counters is a reading of what the server has done.
func (c *Control) Counters() Counters { return c.life.server.Counters() }

// Report tells the verdict of an address by a check of type push, as somebody
// outside found it; it holds for lease, or for the check's own where that is 0.
func (c *Control) Report(check string, addr netip.Addr, up bool, reason string, lease time.Duration) error {
	err := c.life.prober.Report(check, addr, up, reason, lease)
	if err == nil {
		return nil
	}
	what := strings.TrimPrefix(err.Error(), "reporting: ") // which who does so knows
	if errors.Is(err, health.ErrNoPush) {
		return &Refused{Unknown: true, What: what}
	}
	return errors.New(what)
}

// Clear ends what holds the addresses of a target down although their probes may
// pass: flap damping, hold_down, the wait for failback. What max_withdraw holds up
// stays so. It reports how many of them were held.
func (c *Control) Clear(t Target) (held int, err error) {
	at := c.current()
	if err := t.find(at.snapshot.Config); err != nil {
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
		return 0, errProberSilent
	}
	c.log.Warn("cleared", "target", t.String(), "held", held, "addresses", len(targets))
	return held, nil
}

// errProberSilent is of what the prober was asked for and did not do in time.
var errProberSilent = errors.New("the prober does not answer; see the log")

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
