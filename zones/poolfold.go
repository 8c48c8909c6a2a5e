package zones

import (
	"slices"

	"meridian/config"
	"meridian/pools"
)

// poolFold computes a value for each pool from its members, those of nested pools, and those of its fallback.
type poolFold[T any] struct {
	compiler *compiler
	of       func(*config.Member) T // the value of a member that is no pool
	join     func(a, b T) T
	own      []T // by pool, without its fallback
	seen     []bool
}

// foldPools returns the values, by the index of a pool in the configuration. The zero value is that of no member.
func foldPools[T any](c *compiler, of func(*config.Member) T, join func(a, b T) T) []T {
	f := poolFold[T]{c, of, join, make([]T, len(c.cfg.Pools)), make([]bool, len(c.cfg.Pools))}
	for i := range f.own {
		f.pool(pools.ID(i))
	}
	bound := slices.Clone(f.own)
	for i := range bound {
		if fallback, ok := c.pools[c.cfg.Pools[i].Fallback]; ok {
			bound[i] = join(bound[i], f.own[fallback]) // the fallback's own fallback is not used
		}
	}
	return bound
}

// pool computes own for a pool and its nested pools. It stops if a pool contains itself, which package pools rejects.
func (f *poolFold[T]) pool(id pools.ID) T {
	if f.seen[id] {
		return f.own[id]
	}
	f.seen[id] = true
	for i := range f.compiler.cfg.Pools[id].Members {
		m := &f.compiler.cfg.Pools[id].Members[i]
		if below, ok := f.compiler.pools[m.Pool]; ok && m.Pool != "" {
			f.own[id] = f.join(f.own[id], f.pool(below))
		} else {
			f.own[id] = f.join(f.own[id], f.of(m))
		}
	}
	return f.own[id]
}
