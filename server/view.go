package server

import (
	"slices"

	"meridian/config"
	"meridian/health"
	"meridian/load"
	"meridian/pools"
	"meridian/resolver"
	"meridian/zones"
)

// view is what Control shows as it was at one time, and what the prober reported of
// it. A reload may have superseded it.
type view struct {
	control   *generation     // nil: nothing serves yet
	snapshot  *zones.Snapshot // pools and configuration; its files may be closed by now
	watch     *health.Watch
	loads     *load.Watch
	targets   *resolver.Watch
	overrides overrides
	latency   *LatencyStatus // nil: nothing is measured
	reload    ReloadStatus

	known    map[int]health.Status           // by target, those that were asked for; see ask
	resolved map[config.Name]resolver.Status // likewise; all of them
}

// currentView returns the moment of now, for the caller alone.
func (c *Control) currentView() *view {
	if at := c.view.Load(); at != nil {
		now := *at
		return &now
	}
	return new(view) // nothing serves yet
}

// askAtOnce is how many targets the prober is asked for at a time. It does nothing else
// while it answers, so that with more one reader would delay probes, and other readers.
const askAtOnce = 1024

// fetchProbes asks the prober for all that it knows of these targets, by index, and the resolver
// for its own. It reports false when it got no answer from the prober.
func (at *view) fetchProbes(targets []int) bool {
	at.resolved = at.targets.Status()
	at.known = make(map[int]health.Status, len(targets))
	slices.Sort(targets)
	targets = slices.Compact(targets)
	for some := range slices.Chunk(targets, askAtOnce) {
		all := at.watch.Statuses(some)
		if all == nil {
			return false
		}
		for i, target := range some {
			at.known[target] = all[i]
		}
	}
	return true
}

// resolving is how the resolving of a target fares; nil of none, and of one that is
// followed no more.
func (at *view) resolving(target config.Name) *ResolvingStatus {
	known, ok := at.resolved[target]
	if !ok {
		return nil
	}
	return &ResolvingStatus{known.Since, known.Failing, known.Failures, known.Reason, known.Next}
}

// targetIDs is the targets of pools and regions, by index.
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

// targetsOf is the targets of addresses, by index.
func targetsOf(addresses []pools.AddressStatus) (targets []int) {
	for _, a := range addresses {
		if a.Target >= 0 {
			targets = append(targets, a.Target)
		}
	}
	return targets
}
