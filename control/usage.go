package control

import (
	"sync"

	"meridian/config"
	"meridian/pools"
)

// usage reports to the prober which targets queries ask for, so that it can probe the others less often. It compares the
// counters of answers, so that queries do nothing for it.
type usage struct {
	mu      sync.Mutex        // held while a report waits for the prober
	answers map[string]uint64 // by pool, at the last report
}

// report reports the targets of the pools that have answered since the last report.
func (u *usage) report(at *view, totals func() map[string]uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !probesIdle(at.Snapshot.Config) {
		u.answers = nil
		return
	}
	now := totals()
	var asked []pools.ID
	for id := range at.Snapshot.Config.Pools {
		if name := at.Snapshot.Config.Pools[id].Name; now[name] != u.answers[name] {
			asked = append(asked, pools.ID(id))
		}
	}
	if len(asked) == 0 || at.Watch.MarkUsed(at.Snapshot.Pools.UsedTargets(asked)) {
		u.answers = now
	}
}

// probesIdle reports whether a check probes less often what no query asks for.
func probesIdle(cfg *config.Config) bool {
	for i := range cfg.Checks {
		if cfg.Checks[i].Idle.After > 0 {
			return true
		}
	}
	return false
}
