package config

import (
	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
)

// boundPools reads the pool of a binding, or one pool for A and one for AAAA. bindAAAA completes the binding for AAAA.
func (d *decoder) boundPools(b *BalancedName) setter {
	one := d.refer(kindPool, &b.Pool)
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			one(n)
			return
		}
		b.AAAA = &BalancedName{Pos: posOf(n)}
		if !d.mapping(n, []field{{name: "A", set: one}, {name: "AAAA", set: d.refer(kindPool, &b.AAAA.Pool)}}) {
			return
		}
		const instead = "write {A: POOL, AAAA: POOL}, or the name of one pool for both"
		d.required(n, "A", instead)
		d.required(n, "AAAA", instead)
		if same := yamldoc.Child(n, "AAAA"); same != nil && b.Pool == b.AAAA.Pool {
			d.warn(n, "A and AAAA have the same pool", "write pool: "+b.Pool)
		}
	}
}

// bindAAAA gives the binding for AAAA the other settings of b. The addresses of an HTTPS record come from one pool.
// n is the mapping of b.
func (d *decoder) bindAAAA(n *yaml.Node, b *BalancedName) {
	if b.AAAA == nil {
		return
	}
	if b.HTTPS != nil {
		d.errorf(yamldoc.Child(n, "pool"), "a pool for AAAA, and https: an HTTPS record has the addresses of one pool", "bind the name to one pool, or leave https out")
	}
	pool, at := b.AAAA.Pool, b.AAAA.Pos
	*b.AAAA = *b
	b.AAAA.Pool, b.AAAA.Pos, b.AAAA.AAAA, b.AAAA.OnlyAAAA = pool, at, nil, true
}
