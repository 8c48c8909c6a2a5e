package zones

import (
	"fmt"

	"github.com/miekg/dns"
)

// checkTargets rejects targets in our own zones: their answer would depend on itself. Names below a delegation of
// ours are allowed, because other servers answer them.
func (c *compiler) checkTargets() {
	for i := range c.cfg.Pools {
		p := &c.cfg.Pools[i]
		for j := range p.Members {
			m := &p.Members[j]
			if m.Target == "" {
				continue
			}
			found := c.s.Lookup(m.Target.Name().Wire(), dns.TypeA)
			if found.Kind == Refused || found.Kind == Referral {
				continue
			}
			path := fmt.Sprintf("pools.%s.members[%d].target", p.Name, j)
			what := fmt.Sprintf("target %q is in zone %q, which this server answers itself", m.Target.Name(), c.cfg.Zones[found.Zone].Name)
			c.errs = append(c.errs, c.cfg.ErrorAt(m.Pos, path, what, "write addresses, or the pool that the name is bound to"))
		}
	}
}
