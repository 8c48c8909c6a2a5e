package config

import (
	"gopkg.in/yaml.v3"
)

// ResolverStats holds which resolvers are observed, for the report of resolvers and of clients that leave a drained
// member.
type ResolverStats struct {
	Sample float64 // part of the resolvers that is observed, at most 1; 0: off
	Max    int     // most resolvers kept
}

// Enabled reports whether resolvers are observed.
func (s *ResolverStats) Enabled() bool { return s.Sample > 0 }

// The range of max.
const (
	leastResolvers = 100
	mostResolvers  = 1_000_000
)

// resolverStats reads the mapping, on or off.
func (d *decoder) resolverStats(to *ResolverStats) setter {
	return func(n *yaml.Node) {
		if readWord(d, n, to, d.defaults.resolverStats, "resolver_stats", "{sample: 0.1, max: 10000}") {
			return
		}
		*to = d.defaults.resolverStats
		d.mapping(n, []field{
			{name: "sample", set: setValue(&to.Sample, d.sample)},
			{name: "max", set: d.integerInRange(&to.Max, leastResolvers, mostResolvers)},
		})
	}
}
