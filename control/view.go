package control

import (
	"slices"

	"meridian/cluster"
	"meridian/config"
	"meridian/discovery"
	"meridian/health"
	"meridian/pools"
)

// view is a consistent state for Control, with data reported by the prober. A reload may have
// superseded it.
type view struct {
	Generation // the zero value: none serves yet; its files may be closed by now

	overrides overrides
	filters   []Filter                 // those added, the latest first; immutable
	frozen    []FrozenZone             // immutable
	refused   map[string]refusedWindow // maintenance windows, by name; immutable
	latency   *LatencyStatus           // nil: no latency is measured
	reload    ReloadStatus
	canary    *Canary // nil: all clients are answered by Generation

	cluster  *cluster.Node                      // nil: this node decides alone
	given    *sharedLoads                       // of other nodes of the cluster; nil: none
	known    map[int]health.Status              // by target, the requested ones; see fetchProbes
	resolved map[config.Target]discovery.Status // all targets
}

// currentView returns a copy of the current view.
func (c *Control) currentView() *view {
	if at := c.view.Load(); at != nil {
		now := *at
		return &now
	}
	return new(view) // no generation serves yet
}

// hold returns the current view, with the caller as a user of its generation. The caller must
// release it.
func (c *Control) hold() *view {
	for {
		if at := c.currentView(); at.Acquire() {
			return at
		}
	}
}

// askAtOnce is the number of targets in one request to the prober. The prober does nothing else
// during a request, so a larger one would delay probes and other readers.
const askAtOnce = 1024

// fetchProbes requests the status of these targets, by index, from the prober, and the status of
// all lookups from the resolver. It returns false if the prober did not reply.
func (at *view) fetchProbes(targets []int) bool {
	at.resolved = at.Targets.Status()
	at.known = make(map[int]health.Status, len(targets))
	slices.Sort(targets)
	targets = slices.Compact(targets)
	for some := range slices.Chunk(targets, askAtOnce) {
		all := at.Watch.Statuses(some)
		if all == nil {
			return false
		}
		for i, target := range some {
			at.known[target] = all[i]
		}
	}
	return true
}

// resolving returns the lookup status of a target, or nil if it is not tracked.
func (at *view) resolving(target config.Target) *ResolvingStatus {
	known, ok := at.resolved[target]
	if !ok {
		return nil
	}
	return &ResolvingStatus{known.Since, known.Failing, known.Failures, known.Reason, known.Next, known.SubnetIgnored, known.From, known.Own}
}

// targetIDs returns the targets of pools and regions, by index.
func targetIDs(stand []pools.PoolStatus, regions []pools.RegionStatus) (targets []int) {
	for _, p := range stand {
		for i := range p.Members {
			targets = append(targets, targetsOf(p.Members[i].Addresses)...)
		}
	}
	for i := range regions {
		targets = append(targets, targetsOf(regions[i].Addresses)...)
	}
	return targets
}

// targetsOf returns the targets of addresses, by index.
func targetsOf(addresses []pools.AddressStatus) (targets []int) {
	for _, a := range addresses {
		if a.Target >= 0 {
			targets = append(targets, a.Target)
		}
	}
	return targets
}
