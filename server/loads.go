package server

import (
	"net/netip"
	"time"

	"meridian/loads"
	"meridian/pools"
)

// loadPause is how long load reports are collected before they are applied to the pools.
const loadPause = 250 * time.Millisecond

// LoadStatus is the status of the reports of one load.
type LoadStatus struct {
	Source   string     `json:"source"` // name in the configuration
	Address  netip.Addr `json:"address,omitzero"`
	URL      string     `json:"url,omitempty"` // in place of the address
	Load     float64    `json:"load"`
	Capacity float64    `json:"capacity"` // 0: not in the report
	At       time.Time  `json:"at,omitzero"`
	Fresh    bool       `json:"fresh"` // false: there is no report, or it is stale and not used
	Polls    uint64     `json:"polls"`
	Failures uint64     `json:"failures"`
	Reason   string     `json:"reason,omitempty"` // why the last poll failed
}

// followLoads starts polling the load targets of a tree.
func (l *instance) followLoads(tree *pools.Tree) (*loads.Watch, error) {
	targets := make([]loads.Target, len(tree.LoadTargets()))
	for i, t := range tree.LoadTargets() {
		targets[i] = loads.Target(t)
	}
	return l.poller.Follow(targets)
}

// setLoads applies the current reports to a tree. It reports whether the load shed by some member
// or region changed.
func setLoads(tree *pools.Tree, loads *loads.Watch) (changed bool) {
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

// applyLoads applies the current reports to the tree that answers and to pending ones: state that
// changes step by step must not lag behind in these.
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

// loadStatus returns the status of all load reports.
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
