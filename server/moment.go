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

// moment is what Control.mu guards, as it was at one time, and what the prober
// said of it. Whoever asks the prober, which may take its time, does so of a moment,
// and holds no lock meanwhile. A reload may have taken the place of it.
type moment struct {
	snapshot *zones.Snapshot // pools and configuration; its files may be closed by now
	watch    *health.Watch
	loads    *load.Following
	targets  *resolver.Following
	said     overrides
	latency  *LatencyStatus

	known    map[int]health.Status           // by target, those that were asked for; see ask
	resolved map[config.Name]resolver.Status // likewise; all of them
}

// current is the moment of now.
func (c *Control) current() *moment {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.currentLocked()
}

func (c *Control) currentLocked() *moment {
	return &moment{snapshot: c.snapshot, watch: c.watch, loads: c.loads, targets: c.targets, said: c.said, latency: c.latency}
}

// ask asks the prober, once, for all that it knows of these targets, by index, and
// the resolver for its own. It reports false when it got no answer from the prober.
func (at *moment) ask(targets []int) bool {
	at.resolved = at.targets.Status()
	at.known = make(map[int]health.Status, len(targets))
	slices.Sort(targets)
	targets = slices.Compact(targets)
	all := at.watch.Statuses(targets)
	if all == nil {
		return len(targets) == 0
	}
	for i, target := range targets {
		at.known[target] = all[i]
	}
	return true
}

// resolving is how the resolving of a target fares; nil of none, and of one that is
// followed no more.
func (at *moment) resolving(target config.Name) *ResolvingStatus {
	known, ok := at.resolved[target]
	if !ok {
		return nil
	}
	return &ResolvingStatus{known.Since, known.Failing, known.Failures, known.Reason, known.Next}
}

// targetsIn is the targets of pools and regions, by index.
func targetsIn(stand []pools.PoolStatus, regions []pools.RegionStatus) (targets []int) {
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
