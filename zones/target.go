package zones

import (
	"fmt"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/geo"
	"meridian/pools"
)

// Targets lists the names that members of pools have for a target, each once, in
// the order written.
func (s *Snapshot) Targets() []config.Name {
	var names []config.Name
	seen := map[config.Name]bool{}
	for i := range s.Config.Pools {
		for j := range s.Config.Pools[i].Members {
			if name := s.Config.Pools[i].Members[j].Target; name != "" && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// Resolve is s with these addresses for the targets of members. The two share
// all but the pools: close one of them, when neither is read any more.
func (s *Snapshot) Resolve(targets map[config.Name]pools.Resolved) (*Snapshot, error) {
	tree, err := s.Pools.Resolve(targets)
	if err != nil {
		return nil, err
	}
	next := *s
	next.Pools = tree
	return &next, nil
}

// Measure is s with pools that go by other round trips; nil for none. The two share all else, as
// with Resolve.
func (s *Snapshot) Measure(roundTrips *geo.Latency) (*Snapshot, error) {
	tree, err := s.Pools.Measure(roundTrips)
	s.Geo.Compiled()
	if err != nil {
		return nil, err
	}
	next := *s
	next.Pools = tree
	return &next, nil
}

// checkTargets refuses targets that we answer ourselves: to resolve them is to
// ask what we are about to decide. Below a delegation of ours others answer.
func (c *compiler) checkTargets() {
	for i := range c.cfg.Pools {
		p := &c.cfg.Pools[i]
		for j := range p.Members {
			m := &p.Members[j]
			if m.Target == "" {
				continue
			}
			found := c.s.Lookup(m.Target.Wire(), dns.TypeA)
			if found.Kind == Refused || found.Kind == Referral {
				continue
			}
			path := fmt.Sprintf("pools.%s.members[%d].target", p.Name, j)
			what := fmt.Sprintf("target %q is in zone %q, which this server answers itself", m.Target, c.cfg.Zones[found.Zone].Name)
			c.errs = append(c.errs, c.cfg.ErrorAt(m.Pos, path, what, "write addresses, or the pool that the name is bound to"))
		}
	}
}
