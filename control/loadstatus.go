package control

import (
	"net/netip"
	"time"

	"meridian/loads"
	"meridian/pools"
)

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

// ApplyLoads applies the current reports to the tree that answers and to pending ones: state that
// changes step by step must not lag behind in these.
func (c *Control) ApplyLoads() {
	defer c.RecoverPanic("load reports")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.pending {
		setLoads(a.tree, a.loads)
	}
	if at := c.currentView(); at.Snapshot != nil {
		if setLoads(at.Snapshot.Pools, at.Loads) {
			c.markDirty()
		}
	}
}

// loadStatus returns the status of all load reports.
func (at *view) loadStatus() []LoadStatus {
	all := []LoadStatus{}
	targets := at.Snapshot.Pools.LoadTargets()
	for i, s := range at.Loads.Status() {
		all = append(all, LoadStatus{
			Source: targets[i].Source.Name, Address: targets[i].Addr, URL: targets[i].Source.URL,
			Load: s.Load, Capacity: s.Capacity, At: s.At, Fresh: s.Fresh,
			Polls: s.Polls, Failures: s.Failures, Reason: s.Reason,
		})
	}
	return all
}
