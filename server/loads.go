package server

import (
	"context"
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

// followLoads has the load targets of a tree polled, waits for the first reports
// until ctx ends, and has the tree go by them.
func (l *life) followLoads(ctx context.Context, tree *pools.Tree) (*load.Following, error) {
	targets := make([]load.Target, len(tree.LoadTargets()))
	for i, t := range tree.LoadTargets() {
		targets[i] = load.Target(t)
	}
	loads, err := l.poller.Follow(targets)
	if err != nil {
		return nil, err
	}
	loads.FirstRound(ctx)
	takeLoads(tree, loads)
	return loads, nil
}

// takeLoads has a tree go by the reports of now.
func takeLoads(tree *pools.Tree, loads *load.Following) {
	known := loads.Status()
	if len(known) == 0 {
		return
	}
	reports := make([]pools.Load, len(known))
	for i, s := range known {
		reports[i] = pools.Load{Load: s.Load, Capacity: s.Capacity, At: s.At, Fresh: s.Fresh}
	}
	tree.SetLoads(reports)
}

// loadStatus tells how the reports of all loads stand.
func (at *moment) loadStatus() []LoadStatus {
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
