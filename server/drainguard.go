package server

import (
	"fmt"
	"strings"

	"meridian/config"
	"meridian/pools"
)

// maxNamed is how many names a refusal lists.
const maxNamed = 5

// CheckDrain refuses a drain that would leave a name without an answer: a drained member
// is not answered even if the pool fails open.
func (c *Control) CheckDrain(t Selector) error {
	at := c.currentView()
	cfg := at.snapshot.Config
	if t.validate(cfg) != nil {
		return nil // which Override reports
	}
	byName := make(map[string]*config.Pool, len(cfg.Pools))
	for i := range cfg.Pools {
		byName[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	before := answerable{pools: byName, said: at.overrides, eligible: eligibleMembers(at.snapshot.Pools)}
	after := before
	after.said = at.overrides.with(Override{Target: t, Kind: pools.Drained.String()})
	before.known, after.known = map[string]bool{}, map[string]bool{}
	var lost []string
	for i := range cfg.Zones {
		for _, name := range cfg.Zones[i].Names {
			if before.pool(name.Pool) && !after.pool(name.Pool) {
				lost = append(lost, string(name.Name))
			}
		}
	}
	if len(lost) == 0 {
		return nil
	}
	listed := strings.Join(lost[:min(maxNamed, len(lost))], ", ")
	if more := len(lost) - maxNamed; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	return &RequestError{
		What: fmt.Sprintf("draining %s would leave no answer for %s", t, listed),
		Hint: `drain it all the same with --yes; in the API: "force": true`,
	}
}

// answerable finds which pools can be answered from under some overrides.
type answerable struct {
	pools    map[string]*config.Pool
	said     overrides
	eligible map[Selector]bool // members that are, in some family
	known    map[string]bool   // what was found of a pool
}

// eligibleMembers returns the members that are eligible in some family.
func eligibleMembers(tree *pools.Tree) map[Selector]bool {
	all := map[Selector]bool{}
	for p := range tree.Status() {
		for _, m := range p.Members {
			if m.Eligible[pools.IPv4] || m.Eligible[pools.IPv6] {
				all[Selector{Pool: p.Pool, Member: m.Member}] = true
			}
		}
	}
	return all
}

// pool reports whether a pool or its fallback has a member that could be answered.
func (a *answerable) pool(name string) bool {
	if found, known := a.known[name]; known {
		return found
	}
	a.known[name] = false // pools have no cycles; a fallback may
	p := a.pools[name]
	found := p.Fallback != "" && a.pool(p.Fallback)
	for i := range p.Members {
		found = found || a.member(p, &p.Members[i])
	}
	a.known[name] = found
	return found
}

// member reports whether a member could be answered, if only because its pool fails open.
func (a *answerable) member(p *config.Pool, m *config.Member) bool {
	if !m.Enabled || m.Weight == 0 || a.drained(p, m) {
		return false
	}
	if m.Pool != "" {
		return a.pool(m.Pool)
	}
	return p.FailOpen != config.NeverOpen || a.eligible[Selector{Pool: p.Name, Member: m.Name}]
}

// drained reports whether a member is drained or forced down, so that it is never answered: by
// the override of itself, else of its pool, else of its region.
func (a *answerable) drained(p *config.Pool, m *config.Member) bool {
	for _, t := range []Selector{{Pool: p.Name, Member: m.Name}, {Pool: p.Name}, {Region: m.Region}} {
		if o := a.said.of(t); o != nil && t != (Selector{}) {
			return o.Kind == pools.Drained.String() || o.Kind == pools.ForcedDown.String()
		}
	}
	return false
}
