package server

import (
	"net/netip"
	"time"

	"meridian/load"
	"meridian/pools"
)

// loadPause is how long reports of loads are gathered before the pools go by them.
const loadPause = 250 * time.Millisecond

// LoadStatus is how the reports of a load stand.
type LoadStatus struct {
	Source   string     `json:"source"` // its name in the configuration
	Address  netip.Addr `json:"address,omitzero"`
	URL      string     `json:"url,omitempty"` // in place of the address
	Load     float64    `json:"load"`
	Capacity float64    `json:"capacity"` // 0: the report does not say
	At       time.Time  `json:"at,omitzero"`
	Fresh    bool       `json:"fresh"` // false: there is no report, or it is stale, and nobody goes by it
	Polls    uint64     `json:"polls"`
	Failures uint64     `json:"failures"`
	Reason   string     `json:"reason,omitempty"` // why the last poll failed
}

// followLoads has the load targets of a tree polled.
func (l *instance) followLoads(tree *pools.Tree) (*load.Watch, error) {
	targets := make([]load.Target, len(tree.LoadTargets()))
	for i, t := range tree.LoadTargets() {
		targets[i] = load.Target(t)
	}
	return l.poller.Follow(targets)
}

// setLoads applies the present reports to a tree. It reports whether some member or region
// sheds more or less than before.
func setLoads(tree *pools.Tree, loads *load.Watch) (changed bool) {
	known := loads.Status()
	if len(known) == 0 {
		return false
	}
	reports := make([]pools.Load, len(known))
	for i, s := range known {
		reports[i] = pools.Load{Load: s.Load, Capacity: s.Capacity, At: s.At, Fresh: s.Fresh}
	}
	return tree.SetLoads(reports)
}

// applyLoads applies the present reports to the tree that answers and to those that
// are about to: what a report changes step by step must not lag behind in these.
func (c *Control) applyLoads() {
	defer c.recoverPanic("load reports")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.pending {
		setLoads(a.tree, a.loads)
	}
	if at := c.currentView(); at.snapshot != nil {
		if setLoads(at.snapshot.Pools, at.loads) {
			c.instance.markDirty()
		}
	}
}

// loadStatus tells how the reports of all loads stand.
func (at *view) loadStatus() []LoadStatus {
	all := []LoadStatus{}
	targets := at.snapshot.Pools.LoadTargets()
	for i, s := range at.loads.Status() {
		all = append(all, LoadStatus{
			Source: targets[i].Source.Name, Address: targets[i].Addr, URL: targets[i].Source.URL,
			Load: s.Load, Capacity: s.Capacity, At: s.At, Fresh: s.Fresh,
			Polls: s.Polls, Failures: s.Failures, Reason: s.Reason,
		})
	}
	return all
}
