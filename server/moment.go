package server

import (
	"meridian/health"
	"meridian/load"
	"meridian/pools"
	"meridian/zones"
)

// moment is what Control.mu guards, as it was at one time, and what the prober
// said of it. Whoever asks the prober, which may take its time, does so of a moment,
// and holds no lock meanwhile. A reload may have taken the place of it.
type moment struct {
	snapshot *zones.Snapshot // pools and configuration; its files may be closed by now
	watch    *health.Watch
	loads    *load.Following
	said     overrides
	latency  *LatencyStatus

	known map[int]health.Status // by target, those that were asked for; see ask
}

// current is the moment of now.
func (c *Control) current() *moment {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return &moment{snapshot: c.snapshot, watch: c.watch, loads: c.loads, said: c.said, latency: c.latency}
}

// ask asks the prober, once, for all that it knows of the targets of these pools. It
// reports false when it got no answer.
func (m *moment) ask(stand []pools.PoolStatus) bool {
	var targets []int
	m.known = make(map[int]health.Status)
	for _, p := range stand {
		for i := range p.Members {
			for _, target := range targetsOf(&p.Members[i]) {
				if _, twice := m.known[target]; !twice {
					m.known[target] = health.Status{}
					targets = append(targets, target)
				}
			}
		}
	}
	all := m.watch.Statuses(targets)
	if all == nil {
		clear(m.known)
		return len(targets) == 0
	}
	for i, target := range targets {
		m.known[target] = all[i]
	}
	return true
}
