package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	maxWeight  = 1_000_000
	maxAnswers = 65535 // what the header of a message counts up to (RFC 1035 4.1.1)
)

// policies are those of this version, laterPolicies those of later ones.
func policies() []string {
	return []string{string(Proximity), string(Weighted), string(RoundRobin), string(Failover)}
}

func laterPolicies() []string {
	return []string{"geolocation", "hash", "latency", "least-load", "fastest", "all"}
}

func (d *decoder) pools(to *[]Pool) reader {
	return d.define(kindPool, func(name string, key, value *yaml.Node) {
		p := d.defaults.pool
		p.Name, p.Pos = name, posOf(key)
		d.pool(value, &p)
		*to = append(*to, p)
	})
}

func (d *decoder) pool(n *yaml.Node, p *Pool) {
	var members, minUp *yaml.Node
	keys := []field{
		{name: "policy", read: into(&p.Policy, d.policy)},
		{name: "check", read: d.memberCheck(&p.Check)},
		{name: "answers", read: d.whole(&p.Answers, 0, maxAnswers)},
		{name: "min_up", read: hold(&minUp)},
		{name: "fallback", read: d.fallback(p)},
		{name: "fail_open", read: d.flag(&p.FailOpen)},
		{name: "members", read: hold(&members)},
	}
	if !d.mapping(n, append(keys, later("default", "on_down")...)) {
		return
	}
	d.required(n, "policy", "write one of "+strings.Join(policies(), ", "))
	d.required(n, "members", "a pool has at least one member")
	if members != nil {
		d.poolMembers(members, p)
	}
	if minUp != nil {
		d.minUp(minUp, p)
	}
}

func (d *decoder) policy(n *yaml.Node) (Policy, bool) {
	s, ok := d.oneOf(n, "policy", policies(), laterPolicies())
	return Policy(s), ok
}

// memberCheck reads the name of a check, or none.
func (d *decoder) memberCheck(to *string) reader {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Value == noCheck {
			*to = ""
			return
		}
		d.refer(kindCheck, to)(n)
	}
}

func (d *decoder) fallback(p *Pool) reader {
	return func(n *yaml.Node) {
		d.refer(kindPool, &p.Fallback)(n)
		if p.Fallback == p.Name {
			d.fault(n, "pool "+quote(p.Name)+" is its own fallback", "name another pool")
		}
	}
}

// minUp reads a count or percentage of members.
func (d *decoder) minUp(n *yaml.Node, p *Pool) {
	s, ok := d.scalar(n)
	if !ok {
		return
	}
	digits, percent := strings.CutSuffix(s, "%")
	if !percent && decimal(s) {
		if least, ok := d.integer(n, 1, max(len(p.Members), 1)); ok {
			p.MinUp = MinUp{N: least}
		}
		return
	}
	share, err := strconv.Atoi(digits)
	switch {
	case !decimal(digits):
		d.fault(n, quote(s)+" is neither a count nor a percentage", "write it like 2 or 50%")
	case err != nil || share < 1 || share > 100:
		d.fault(n, quote(s)+" is out of range", "1% to 100%")
	default:
		p.MinUp = MinUp{N: share, Percent: true}
	}
}

func (d *decoder) poolMembers(n *yaml.Node, p *Pool) {
	names := make(map[string]int)            // the line of each
	addresses := make(map[netip.Addr]string) // the member of each
	ok := d.list(n, func(item *yaml.Node) {
		m := d.defaults.member
		m.Pos = posOf(item)
		if !d.member(item, p, &m) {
			return
		}
		if line, twice := names[m.Name]; twice && m.Name != "" {
			d.fault(child(item, "name"), "duplicate member "+quote(m.Name), firstAt(line))
		}
		names[m.Name] = item.Line
		d.repeated(item, m, addresses)
		p.Members = append(p.Members, m)
	})
	if ok && len(n.Content) == 0 {
		d.faultAtKey(n, "an empty list", "a pool has at least one member")
	}
}

// member reads one member of pool p. It reports whether n is a mapping at all.
func (d *decoder) member(n *yaml.Node, p *Pool, m *Member) bool {
	keys := []field{
		{name: "name", read: into(&m.Name, d.handle)},
		{name: "region", read: d.refer(kindRegion, &m.Region)},
		{name: "addresses", read: d.unicasts(&m.Addresses)},
		{name: "pool", read: d.refer(kindPool, &m.Pool)},
		{name: "weight", read: d.whole(&m.Weight, 0, maxWeight)},
		{name: "check", read: d.memberCheck(&m.Check)},
		{name: "enabled", read: d.flag(&m.Enabled)},
	}
	m.Check = p.Check
	if !d.mapping(n, append(keys, later("target", "cname", "match")...)) {
		return false
	}
	d.required(n, "name", "overrides, logs and metrics tell members by name")
	if child(n, "target") == nil && child(n, "cname") == nil { // these have a fault already
		d.exactlyOne(n, "addresses", "pool")
	}
	if p.Policy == Proximity && child(n, "region") == nil {
		d.faultAtKey(n, "no region", "proximity needs a region on every member")
	}
	if m.Pool != "" {
		d.nestedPool(n, p, m)
	}
	return true
}

// nestedPool takes note of a member that is a pool.
func (d *decoder) nestedPool(n *yaml.Node, p *Pool, m *Member) {
	d.nested[p.Name] = append(d.nested[p.Name], edge{to: m.Pool, node: child(n, "pool")})
	m.Check = "" // its members have their own
	if own := child(n, "check"); own != nil {
		d.fault(own, "a check on a member that is a pool", "give it to the members of pool "+quote(m.Pool))
	}
}

// repeated warns of an address that a pool would answer with twice.
func (d *decoder) repeated(n *yaml.Node, m Member, seen map[netip.Addr]string) {
	for i, a := range m.Addresses {
		first, twice := seen[a]
		if !twice {
			seen[a] = m.Name
			continue
		}
		d.warn(item(child(n, "addresses"), i, len(m.Addresses)),
			fmt.Sprintf("address %s is in this pool twice", a), "it is first in member "+quote(first))
	}
}

// item is the i-th of want items of a list, or the list where faults left fewer.
func item(list *yaml.Node, i, want int) *yaml.Node {
	if len(list.Content) != want {
		return list
	}
	return list.Content[i]
}
