package zones

import (
	"fmt"

	"meridian/config"
)

// checkFamilyPools checks the names with one pool for A and one for AAAA: neither pool may answer a CNAME, which a
// resolver would use for both types, and each has addresses of its family.
func (c *compiler) checkFamilyPools() {
	for i := range c.cfg.Zones {
		for b := range c.cfg.Zones[i].Bindings() {
			if b.AAAA != nil {
				c.checkFamilyPool(ZoneID(i), b, "A", "IPv4", families{v4: true})
				c.checkFamilyPool(ZoneID(i), b.AAAA, "AAAA", "IPv6", families{v6: true})
			}
		}
	}
}

// checkFamilyPool checks the pool of a name for one type of addresses.
func (c *compiler) checkFamilyPool(z ZoneID, b *config.BalancedName, typ, family string, wanted families) {
	pool, known := c.pools[b.Pool]
	switch {
	case !known && b.OnlyAAAA:
		c.nameErrorf(z, b, "name a pool of pools", "no pool %q", b.Pool)
	case !known: // bind has reported it
	case c.cnames[pool] != NoCName:
		c.nameErrorf(z, b, "bind the name to one pool: a CNAME is the answer for all types",
			"pool %q, for %s only, may answer a CNAME", b.Pool, typ)
	case c.families[pool].types()&wanted.types() == 0:
		c.warnings = append(c.warnings, c.ofName(z, b, "give its members addresses, or bind the name to one pool",
			fmt.Sprintf("pool %q has no %s address: %s of the name has no data", b.Pool, family, typ)))
	}
}
