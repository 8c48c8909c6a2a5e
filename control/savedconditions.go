package control

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meridian/pools"
)

// SavedConditions are the problems that events have reported and that last. The next process does not report them
// again. The JSON form outlives the process: fields may be added, but must not change their meaning.
type SavedConditions struct {
	States   []SavedProblem     `json:"states,omitempty"`
	Modes    []SavedMode        `json:"modes,omitempty"`
	Lost     []SavedRegion      `json:"lost_regions,omitempty"`
	Deferred []SavedDeferral    `json:"deferred,omitempty"`
	Pools    []pools.SavedSince `json:"pools,omitempty"` // for status
}

// SavedProblem is a target that is not up.
type SavedProblem struct {
	Subject string     `json:"subject"`
	Check   string     `json:"check"`
	Address netip.Addr `json:"address"`
}

// SavedMode is a pool in another mode than normal.
type SavedMode struct {
	Pool   string `json:"pool"`
	Family string `json:"family"`
	Mode   string `json:"mode"`
}

// SavedRegion is a region of a pool that is lost.
type SavedRegion struct {
	Pool   string `json:"pool"`
	Region string `json:"region"`
	Family string `json:"family"`
}

// SavedDeferral is a member with a deferred ejection.
type SavedDeferral struct {
	Pool   string    `json:"pool"`
	Member string    `json:"member"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// SaveConditions returns the reported conditions, or those to restore if no tree answers yet.
func (c *Control) SaveConditions() SavedConditions {
	if c.currentView().Snapshot == nil {
		return c.restored.Conditions
	}
	saved := SavedConditions{States: c.states.save()}
	c.conditions.save(&saved)
	return saved
}

// save returns the reported problems, in a fixed order.
func (l *stateLog) save() (all []SavedProblem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.reported {
		all = append(all, SavedProblem{p.subject, p.check, p.address})
	}
	slices.SortFunc(all, func(a, b SavedProblem) int {
		return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.Check, b.Check), a.Address.Compare(b.Address))
	})
	return all
}

// restore sets the reported problems, before the first tree is prepared.
func (l *stateLog) restore(saved []SavedProblem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reported = make(map[stateProblem]bool, len(saved))
	for _, p := range saved {
		l.reported[stateProblem{p.Subject, p.Check, p.Address}] = true
	}
}

// save adds the reported conditions to saved, in a fixed order.
func (c *conditions) save(saved *SavedConditions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, mode := range c.modes {
		saved.Modes = append(saved.Modes, SavedMode{key.pool, key.family.String(), mode.String()})
	}
	for key := range c.lost {
		saved.Lost = append(saved.Lost, SavedRegion{key.pool, key.region, key.family})
	}
	for _, d := range c.deferred {
		saved.Deferred = append(saved.Deferred, SavedDeferral{d.Pool, d.Member, d.Since, d.Reason})
	}
	if c.current != nil {
		saved.Pools = c.current.SaveSince()
	}
	slices.SortFunc(saved.Modes, func(a, b SavedMode) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Family, b.Family))
	})
	slices.SortFunc(saved.Lost, func(a, b SavedRegion) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Region, b.Region), strings.Compare(a.Family, b.Family))
	})
	slices.SortFunc(saved.Deferred, func(a, b SavedDeferral) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Member, b.Member))
	})
}

// restore sets the reported conditions, before the first tree serves. What this program does not know is left out.
func (c *conditions) restore(saved *SavedConditions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.modes, c.lost, c.deferred = map[poolFamily]pools.Mode{}, map[lostRegion]bool{}, map[memberName]pools.Deferral{}
	for _, s := range saved.Modes {
		for mode := range pools.Mode(pools.ModeCount) {
			for _, f := range []pools.Family{pools.IPv4, pools.IPv6} {
				if s.Mode == mode.String() && s.Family == f.String() {
					c.modes[poolFamily{s.Pool, f}] = mode
				}
			}
		}
	}
	for _, s := range saved.Lost {
		c.lost[lostRegion{s.Pool, s.Region, s.Family}] = true
	}
	for _, s := range saved.Deferred {
		d := pools.Deferral{Pool: s.Pool, Member: s.Member, Since: s.Since, Reason: s.Reason}
		c.deferred[nameOf(&d)] = d
	}
	c.since = saved.Pools
}
