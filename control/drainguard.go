package control

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
	"meridian/pools"
)

// maxNamed is the maximum number of names in an error.
const maxNamed = 5

// checkOverride returns an error if an override would leave a name without an answer: a member
// that is drained or forced down is not answered even if the pool fails open.
func (at *view) checkOverride(said *Override) error {
	if !said.removes() {
		return nil
	}
	again := "set it"
	switch said.Kind {
	case pools.Drained.String():
		again = "drain it"
	case pools.ForcedDown.String():
		again = "force it down"
	}
	return lostAnswers(said.doing(), again, at.lostUnder(at.overrides.with(*said)))
}

// lostUnder returns the names that have an answer now and none under other overrides.
func (at *view) lostUnder(next overrides) (lost []string) {
	cfg := at.Snapshot.Config
	before := newAnswerable(at)
	after := before.under(next)
	for i := range cfg.Zones {
		for _, name := range cfg.Zones[i].Names {
			if before.name(name.Pool) && !after.name(name.Pool) {
				lost = append(lost, string(name.Name))
			}
		}
	}
	return lost
}

// lostAnswers returns the error of a change that leaves names without an answer; nil: none. again is how to
// repeat it.
func lostAnswers(doing, again string, lost []string) error {
	if len(lost) == 0 {
		return nil
	}
	listed := strings.Join(lost[:min(maxNamed, len(lost))], ", ")
	if more := len(lost) - maxNamed; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	return &RequestError{
		What: fmt.Sprintf("%s would leave no answer for %s", doing, listed),
		Hint: again + ` all the same with --yes; in the API: "force": true`,
	}
}

// removes reports whether an override takes members out of the answers.
func (s *Override) removes() bool {
	percent, _ := parsePercent(s.Value)
	return s.Kind == pools.Drained.String() || s.Kind == pools.ForcedDown.String() || s.Kind == pools.ReducedWeight.String() && percent == 0
}

// doing describes setting an override.
func (s *Override) doing() string {
	switch s.Kind {
	case pools.Drained.String():
		return "draining " + s.Target.String()
	case pools.ForcedUp.String():
		return fmt.Sprintf("forcing %s up", s.Target)
	case pools.ForcedDown.String():
		return fmt.Sprintf("forcing %s down", s.Target)
	}
	return fmt.Sprintf("setting the weight of %s to %s", s.Target, s.Value)
}

// answerable finds the names that can be answered under some overrides, from the current states:
//
//	the pool of the name        its fallback  fail_open  a member that may be answered  answered
//	live                        any           any        any                            yes
//	not live                    live          any        any                            yes
//	not live                    not live      never      any                            no
//	not live                    not live      other      yes                            yes
//	not live                    not live      other      no                             no
//
// A pool that fails open answers members that are neither drained nor forced down.
// A fallback that is not live is not used, so its members that are down do not help. Nor is one
// of a pool whose fence keeps every client.
type answerable struct {
	*states
	kinds  map[pools.MemberName]pools.Kind // of the overrides
	counts map[string][2]int               // cached results of count, by pool
	open   map[string]bool                 // cached results of isOpen, by pool
}

// states holds the current states of pools and members.
type states struct {
	tree     *pools.Tree
	pools    map[string]*config.Pool
	eligible map[Selector]bool // members that are eligible in some family
}

func newAnswerable(at *view) *answerable {
	now := &states{at.Snapshot.Pools, map[string]*config.Pool{}, map[Selector]bool{}}
	cfg := at.Snapshot.Config
	for i := range cfg.Pools {
		now.pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	for p := range at.Snapshot.Pools.Status() {
		for _, m := range p.Members {
			if m.Eligible[pools.IPv4] || m.Eligible[pools.IPv6] {
				now.eligible[Selector{Pool: p.Pool, Member: m.Member}] = true
			}
		}
	}
	return (&answerable{states: now}).under(at.overrides)
}

// under returns a copy with other overrides.
func (a *answerable) under(said overrides) *answerable {
	return &answerable{a.states, a.tree.KindsOf(said.forTree()), map[string][2]int{}, map[string]bool{}}
}

// name reports whether a name that is bound to a pool can be answered.
func (a *answerable) name(pool string) bool {
	p := a.pools[pool]
	return a.isLive(pool) || p.Fallback != "" && !p.HoldsEveryClient() && a.isLive(p.Fallback) || p.FailOpen != config.NeverOpen && a.isOpen(pool)
}

// isLive reports whether a pool has the required number of eligible members.
func (a *answerable) isLive(pool string) bool {
	eligible, need := a.count(pool)
	return eligible >= need
}

// count returns the number of eligible members of a pool and the number that it needs.
func (a *answerable) count(pool string) (eligible, need int) {
	if found, known := a.counts[pool]; known {
		return found[0], found[1]
	}
	p := a.pools[pool]
	able := 0
	for i := range p.Members {
		m := &p.Members[i]
		if !a.able(p, m) {
			continue
		}
		able++
		if a.isEligible(p, m) {
			eligible++
		}
	}
	need = p.MinUp.N
	if p.MinUp.Percent {
		need = (able*p.MinUp.N + 99) / 100
	}
	need = max(1, need)
	a.counts[pool] = [2]int{eligible, need}
	return eligible, need
}

// isEligible reports whether a member that is able is eligible. A pool that is forced up counts
// if one of its members is eligible.
func (a *answerable) isEligible(p *config.Pool, m *config.Member) bool {
	switch {
	case !a.eligible[Selector{Pool: p.Name, Member: m.Name}] || a.overridden(p, m, pools.ForcedDown):
		return false
	case m.Pool != "" && a.overridden(p, m, pools.ForcedUp):
		eligible, _ := a.count(m.Pool)
		return eligible > 0
	}
	return m.Pool == "" || a.isLive(m.Pool)
}

// isOpen reports whether a pool that fails open has a member to answer.
func (a *answerable) isOpen(pool string) bool {
	if found, known := a.open[pool]; known {
		return found
	}
	p := a.pools[pool]
	a.open[pool] = slices.ContainsFunc(p.Members, func(m config.Member) bool {
		return a.able(p, &m) && !a.overridden(p, &m, pools.ForcedDown) && (m.Pool == "" || a.isOpen(m.Pool))
	})
	return a.open[pool]
}

// able reports whether a member may be eligible: it is enabled, has weight, and is not drained.
func (a *answerable) able(p *config.Pool, m *config.Member) bool {
	return m.Enabled && m.Weight > 0 && !a.overridden(p, m, pools.Drained)
}

// overridden reports whether the override that applies to a member is of a kind.
func (a *answerable) overridden(p *config.Pool, m *config.Member, kind pools.Kind) bool {
	return a.kinds[pools.MemberName{Pool: p.Name, Member: m.Name}] == kind
}
