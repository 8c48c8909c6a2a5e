package control

import (
	"net/netip"
	"time"
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
	Reason   string     `json:"reason,omitempty"` // why the last poll of this node failed
	From     string     `json:"from,omitempty"`   // the node of the cluster that has polled this report; empty: this one
}

// ApplyLoads applies the current reports to the tree that answers and to pending ones: state that
// changes step by step must not lag behind in these.
func (c *Control) ApplyLoads() {
	defer c.RecoverPanic("load reports")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.pending {
		c.setLoadsLocked(a.tree, a.loads, false)
	}
	if at := c.currentView(); at.Snapshot != nil {
		if c.setLoadsLocked(at.Snapshot.Pools, at.Loads, true) {
			c.markDirty()
		}
	}
}

// loadStatus returns the status of all load reports.
func (at *view) loadStatus() []LoadStatus {
	all := []LoadStatus{}
	targets := at.Snapshot.Pools.LoadTargets()
	for i, s := range at.Loads.Status() {
		status := LoadStatus{
			Source: targets[i].Source.Name, Address: targets[i].Addr, URL: targets[i].Source.URL,
			Load: s.Load, Capacity: s.Capacity, At: s.At, Fresh: s.Fresh,
			Polls: s.Polls, Failures: s.Failures, Reason: s.Reason,
		}
		if at.given != nil {
			if r, ok := at.given.reports[targets[i].Key()]; ok {
				status.Load, status.Capacity, status.At, status.From = r.Load.Load, r.Capacity, r.At, r.From
				status.Fresh = time.Since(r.At) < targets[i].Source.Stale
			}
		}
		all = append(all, status)
	}
	return all
}
