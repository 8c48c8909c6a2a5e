package config

import "gopkg.in/yaml.v3"

// The range of a bound, in per cent of a fair share: at 100 % no member could take the excess of another.
const (
	leastBound = 101
	mostBound  = 1000
)

// hashMask reads the address bits that a hash uses and the load limit of members.
func (r *poolReader) hashMask(p *Pool) setter {
	bound := r.percentage(&p.Bound, leastBound, mostBound)
	keys := []field{
		{name: "ipv4", set: r.integerInRange(&p.Hash.IPv4, 1, 32)},
		{name: "ipv6", set: r.integerInRange(&p.Hash.IPv6, 1, 128)},
		{name: "bound", set: func(n *yaml.Node) {
			bound(n)
			r.settings[setting{p.Name, "bound"}] = nodeKeyOf(n)
		}},
	}
	return func(n *yaml.Node) { r.mapping(n, keys) }
}
