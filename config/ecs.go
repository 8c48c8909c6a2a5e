package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// ECS is whether the client subnet of a query decides, as a name or a pool says.
type ECS uint8

// What a name or a pool may say.
const (
	ECSInherited ECS = iota // nothing: of a name the pool's setting holds, of a pool the server's
	ECSOn
	ECSOff
)

// or returns e, or what is inherited.
func (e ECS) or(inherited bool) bool {
	if e == ECSInherited {
		return inherited
	}
	return e == ECSOn
}

// UsesECS reports whether the client subnet of a query decides at a name that is bound to p.
func (c *Config) UsesECS(name *BalancedName, p *Pool) bool {
	return name.ECS.or(p.ECS.or(c.Server.ECS))
}

// UsesECSAt reports whether the client subnet of a query for a name decides. It looks at
// balanced names alone; at all others the server's setting holds.
func (c *Config) UsesECSAt(name Name) bool {
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
func (c *Config) balancedAt(name Name) *BalancedName {
	var found *BalancedName
	for i := range c.Zones {
		for j := range c.Zones[i].Names {
			b := &c.Zones[i].Names[j]
			above, wildcard := strings.CutPrefix(string(b.Name), "*.")
			covers := b.Name == name || wildcard && name != Name(above) && name.Within(Name(above))
			if covers && (found == nil || found.Name != name && (b.Name == name || len(b.Name) > len(found.Name))) {
				found = b
			}
		}
	}
	return found
}

// ecs reads the setting of a name or a pool.
func (d *decoder) ecs(to *ECS) setter {
	return into(to, func(n *yaml.Node) (ECS, bool) {
		s, ok := d.scalar(n)
		switch {
		case !ok:
			return 0, false
		case n.Tag != "!!bool":
			d.errorf(n, quote(s)+" is neither true nor false", "")
			return 0, false
		case strings.EqualFold(s, "true"):
			return ECSOn, true
		}
		return ECSOff, true
	})
}
