package config

import (
	"strings"

	"gopkg.in/yaml.v3"

	"meridian/dnsname"
)

// ECS is the setting of a name or a pool for using the client subnet of a query.
type ECS uint8

// The values of ECS.
const (
	ECSInherited ECS = iota // not set: a name inherits from its pool, a pool from the server
	ECSOn
	ECSOff
)

// orInherited returns e, or the inherited value if e is not set.
func (e ECS) orInherited(inherited bool) bool {
	if e == ECSInherited {
		return inherited
	}
	return e == ECSOn
}

// UsesECS reports whether the client subnet of a query is used at a name that is bound to p.
func (c *Config) UsesECS(name *BalancedName, p *Pool) bool {
	return name.ECS.orInherited(p.ECS.orInherited(c.Server.ECS))
}

// UsesECSAt reports whether the client subnet of a query for a name is used. It considers only balanced names; all
// others use the server's setting.
func (c *Config) UsesECSAt(name dnsname.Name) bool {
	b := c.balancedAt(name)
	if b == nil {
		return c.Server.ECS
	}
	for i := range c.Pools {
		if c.Pools[i].Name == b.Pool {
			return c.UsesECS(b, &c.Pools[i])
		}
	}
	return c.Server.ECS
}

// balancedAt returns the balanced name that answers for a name, by itself or as the closest
// wildcard, or nil.
func (c *Config) balancedAt(name dnsname.Name) *BalancedName {
	var found *BalancedName
	for i := range c.Zones {
		for j := range c.Zones[i].Names {
			b := &c.Zones[i].Names[j]
			above, wildcard := strings.CutPrefix(string(b.Name), "*.")
			covers := b.Name == name || wildcard && name != dnsname.Name(above) && name.Within(dnsname.Name(above))
			if covers && (found == nil || found.Name != name && (b.Name == name || len(b.Name) > len(found.Name))) {
				found = b
			}
		}
	}
	return found
}

// ecs reads the setting of a name or a pool.
func (d *decoder) ecs(to *ECS) setter {
	return setValue(to, func(n *yaml.Node) (ECS, bool) {
		use, ok := d.boolean(n)
		if ok && use {
			return ECSOn, true
		}
		return ECSOff, ok
	})
}
