package config

import (
	"fmt"
	"net/netip"
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// The longest client subnets that resolvers forward (RFC 7871 11.1).
const (
	maxSubnet4 = 24
	maxSubnet6 = 56
)

// ofRegion is the client subnet of a target that is the subnet of the member's region.
const ofRegion = "region"

// regionTarget is a member with a target that has the client subnet of a region.
type regionTarget struct {
	pool, member string
	at           nodeKey // of the subnet
	allRegions   bool    // the member names no region: it represents a member in each region that has a subnet
	minUp        nodeKey // of the pool's min_up, if the number of its members is not known before; zero: none
}

// clientSubnet reads a network that represents clients.
func (d *decoder) clientSubnet(n *yaml.Node) (netip.Prefix, bool) {
	p, ok := d.prefix(n)
	if !ok {
		return p, false
	}
	longest := maxSubnet6
	if p.Addr().Is4() {
		longest = maxSubnet4
	}
	switch {
	case p.Bits() == 0:
		d.errorf(n, quote(n.Value)+" is every client", "write the network of usual clients, such as 198.51.100.0/24")
		return p, false
	case p.Bits() > longest:
		shorter, _ := p.Addr().Prefix(longest)
		d.errorf(n, fmt.Sprintf("%s is longer than /%d, and resolvers forward no more", quote(n.Value), longest), "write "+shorter.String())
		return p, false
	case p.Addr().IsPrivate() || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast():
		d.warn(n, quote(n.Value)+" is not a public network; servers elsewhere cannot locate it", "write the network of usual clients, such as 198.51.100.0/24")
	}
	return p, true
}

// target reads a host name, or a host name and the client subnet to resolve it for.
func (r *poolReader) target(n *yaml.Node) {
	m := &r.member
	if n.Kind != yaml.MappingNode {
		if name, ok := r.hostName(n); ok {
			m.Target = newTarget(name, netip.Prefix{})
		}
		return
	}
	var name dnsname.Name
	var subnet netip.Prefix
	ok := r.mapping(n, []field{
		{name: "name", set: setValue(&name, r.hostName)},
		{name: "ecs", set: func(ecs *yaml.Node) {
			if ecs.Kind == yaml.ScalarNode && ecs.Value == ofRegion {
				r.subnetOfRegion = ecs
				return
			}
			if _, err := netip.ParsePrefix(ecs.Value); err != nil && ecs.Kind == yaml.ScalarNode {
				r.errorf(ecs, quote(ecs.Value)+" is neither region nor a network", "write ecs: region, or a network such as ecs: 198.51.100.0/24")
				return
			}
			subnet, _ = r.clientSubnet(ecs)
		}},
	})
	if !ok {
		return
	}
	r.required(n, "name", "write the host name, such as name: lb.example.net")
	r.required(n, "ecs", "write ecs: region, or a network such as ecs: 198.51.100.0/24; without either, write the host name alone")
	m.Target = newTarget(name, subnet)
}

// noteSubnetOfRegion records the current member if its target has the client subnet of a region.
func (r *poolReader) noteSubnetOfRegion(n *yaml.Node) {
	if r.subnetOfRegion == nil {
		return
	}
	t := regionTarget{pool: r.pool.Name, member: r.member.Name, at: nodeKeyOf(r.subnetOfRegion)}
	if yamldoc.Child(n, "region") == nil {
		t.allRegions = true
		if !r.pool.Policy.RanksRegions() {
			r.errorf(r.subnetOfRegion, "the member has no region", "write region: NAME, or a network such as ecs: 198.51.100.0/24; without a region it has the addresses of every region in a pool of policy proximity or latency")
			return
		}
		r.expands = true
		if r.minUp != nil {
			t.minUp = nodeKeyOf(r.minUp)
		}
	}
	r.regionTargets = append(r.regionTargets, t)
}

// completeTargets sets the client subnets of targets that have those of regions. A member that names no region becomes a
// member in each region with a subnet.
func (d *decoder) completeTargets(cfg *Config) {
	pools := map[string]*Pool{}
	for i := range cfg.Pools {
		pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	for _, t := range d.regionTargets {
		p := pools[t.pool]
		i := slices.IndexFunc(p.Members, func(m Member) bool { return m.Name == t.member })
		if i < 0 {
			continue // it has an error of its own
		}
		if t.allRegions {
			d.completeInAllRegions(cfg, p, i, t)
			continue
		}
		m := &p.Members[i]
		r := slices.IndexFunc(cfg.Regions, func(r Region) bool { return r.Name == m.Region })
		switch {
		case r < 0: // an error of its own
		case !cfg.Regions[r].Subnet.IsValid():
			d.errorAt(t.at, "region "+quote(m.Region)+" has no subnet", "write regions."+m.Region+".subnet: the network of usual clients there, such as 198.51.100.0/24")
		default:
			m.Target = newTarget(m.Target.Name(), cfg.Regions[r].Subnet)
		}
	}
}

// completeInAllRegions replaces member i of p by one in each region with a subnet: the first takes its place, and the others
// follow the written members, so that the indices of those stay.
func (d *decoder) completeInAllRegions(cfg *Config, p *Pool, i int, t regionTarget) {
	written, at := p.Members[i], i
	for r := range cfg.Regions {
		region := &cfg.Regions[r]
		if !region.Subnet.IsValid() {
			continue
		}
		m := written
		m.Name, m.Region, m.Target = written.Name+"."+region.Name, region.Name, newTarget(written.Target.Name(), region.Subnet)
		if slices.ContainsFunc(p.Members, func(other Member) bool { return other.Name == m.Name }) {
			d.errorAt(t.at, "the member of region "+quote(region.Name)+" is "+quote(m.Name)+", and there is another of that name", "rename one of them")
		}
		d.declared[kindRegion][region.Name].used = true
		if at == len(p.Members) {
			p.Members = append(p.Members, m)
		} else {
			p.Members[at] = m
		}
		at = len(p.Members)
	}
	switch {
	case at == i:
		d.errorAt(t.at, "no region has a subnet", "write regions.NAME.subnet: the network of usual clients there, such as 198.51.100.0/24; or a network here")
	case t.minUp != (nodeKey{}) && !p.MinUp.Percent && p.MinUp.N > len(p.Members):
		d.errorAt(t.minUp, fmt.Sprintf("%d is more than the %d members of the pool in all regions", p.MinUp.N, len(p.Members)), "write a smaller number, or a percentage")
	}
}
