package control

import (
	"fmt"
	"log/slog"
	"sync"

	"meridian/control/event"
	"meridian/pools"
)

// conditions reports the begin and the end of lasting conditions of pools, once each: modes other
// than normal, lost regions, and ejections that max_ejection defers. It knows them by names, so
// that neither a reload nor a restart is a begin or an end. Safe for concurrent use.
type conditions struct {
	reporter

	mu       sync.Mutex // held while a tree changes; guards all below
	current  *pools.Tree
	modes    map[poolFamily]pools.Mode // without those in mode Normal
	lost     map[lostRegion]bool
	deferred map[memberName]pools.Deferral
	since    []pools.SavedSince // of the previous process, for the first tree
}

// serve makes tree the current one and reports the differences from the previous one. It returns
// whether deferrals began or ended, which the saved state has.
func (c *conditions) serve(tree *pools.Tree) (deferrals bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		tree.CarryOverSince(c.current)
	} else {
		tree.RestoreSince(c.since)
		c.since = nil
	}
	c.current = tree
	c.compareModesLocked()
	c.compareLostLocked()
	return c.compareDeferredLocked()
}

// apply runs change, which modifies tree, and reports its effects if tree is the current one.
// Concurrent changes run one after the other, so that the last log line is the current state. It
// returns whether deferrals began or ended.
func (c *conditions) apply(tree *pools.Tree, change func() []pools.Change) (deferrals bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := change()
	if tree != c.current {
		return false
	}
	for _, m := range changes {
		m.From = c.modes[poolFamily{m.Pool, m.Family}]
		c.setModeLocked(m)
	}
	c.compareLostLocked()
	return c.takeDeferralsLocked()
}

type poolFamily struct {
	pool   string
	family pools.Family
}

// compareModesLocked reports the modes that the current tree has changed.
func (c *conditions) compareModesLocked() {
	ended := c.modes
	c.modes = map[poolFamily]pools.Mode{}
	for _, m := range c.current.Modes() {
		key := poolFamily{m.Pool, m.Family}
		m.From = ended[key] // Normal if it is missing
		delete(ended, key)
		c.setModeLocked(m)
	}
	for key, from := range ended {
		c.setModeLocked(pools.Change{Pool: key.pool, Family: key.family, From: from, To: pools.Normal})
	}
}

// setModeLocked sets the mode of a pool and reports it if it is another one.
func (c *conditions) setModeLocked(m pools.Change) {
	level := slog.LevelWarn
	if key := (poolFamily{m.Pool, m.Family}); m.To == pools.Normal {
		level = slog.LevelInfo
		delete(c.modes, key)
	} else {
		c.modes[key] = m.To
	}
	if m.From != m.To {
		c.report(level, "pool mode", []any{"pool", m.Pool, "family", m.Family.String(), "from", m.From.String(), "to", m.To.String()}, modeEvents(m)...)
	}
}

// modeEvents returns the events of a pool that answers from something else. A change between failing
// open and another exceptional mode ends one kind of problem and begins another: two events.
func modeEvents(m pools.Change) (all []event.Event) {
	add := func(kind string, severity event.Severity) {
		all = append(all, event.Event{
			Kind: kind, Severity: severity, Subject: m.Pool, Message: fmt.Sprintf("mode %s for %s, was %s", m.To, m.Family, m.From),
			Fields: map[string]string{"family": m.Family.String(), "from": m.From.String(), "to": m.To.String()},
		})
	}
	from, to := modeKind(m.From), modeKind(m.To)
	if from != "" && from != to {
		add(from, event.Info)
	}
	switch {
	case to == "":
	case m.To == pools.FailedOpen, m.To == pools.Dead:
		add(to, event.Error)
	default:
		add(to, event.Warning)
	}
	return all
}

// modeKind returns the kind of events about a mode; empty: it is no problem.
func modeKind(m pools.Mode) string {
	switch m {
	case pools.Normal:
		return ""
	case pools.FailedOpen:
		return event.FailOpen
	}
	return event.Mode
}
