package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

const (
	maxAnswers = 65535 // limit of the counts in a message header (RFC 1035 4.1.1)
)

// policies returns all policies.
func policies() []string {
	return []string{string(Proximity), string(Geolocation), string(Weighted), string(RoundRobin), string(Failover), string(Hash), string(Fastest), string(LatencyPolicy), string(LeastLoad), string(AllMembers)}
}

func (d *decoder) pools(to *[]Pool) setter {
	r := newPoolReader(d)
	define := d.define(kindPool, func(name string, key, value *yaml.Node) {
		*to = append(*to, r.read(name, key, value))
	})
	return func(n *yaml.Node) {
		*to = make([]Pool, 0, d.doc.Count(n))
		r.lines = newMemberList(d.defaults.member)
		d.doc.WithItems(r.lines.reader(), func() { define(n) })
	}
}

// poolReader reads one pool after another, and the members of each. There may be millions: their keys are bound once,
// to the current pool and member.
type poolReader struct {
	*decoder
	pool           Pool
	member         Member
	poolKeys       []field
	memberKeys     []field
	members        *yaml.Node
	minUp          *yaml.Node
	names          map[string]Pos        // of each member of the pool
	addresses      map[netip.Addr]string // the member of each address
	firstWithTerm  map[string]firstMatch // of the terms of the pool's matches
	firstWithMatch map[string]memberUse  // of the pool's matches
	matched        []term                // the terms of the current member
	written        map[string]bool       // the written keys of the current member
	terms          []MatchTerm           // the terms that the match stores
	lines          *memberList
	subnetOfRegion *yaml.Node // of the target of the current member; nil: it has no subnet of a region
	expands        bool       // a member of the pool becomes one in each region
	duplicates     duplicateFilter

	memberSlices  slicePool[Member]
	addressSlices slicePool[netip.Addr]
}

func newPoolReader(d *decoder) *poolReader {
	r := &poolReader{decoder: d}
	p, m := &r.pool, &r.member
	r.poolKeys = append([]field{
		{name: "policy", set: setValue(&p.Policy, d.policy)},
		{name: "check", set: d.memberCheck(&p.Check)},
		{name: "answers", set: d.integerInRange(&p.Answers, 0, maxAnswers)},
		{name: "min_up", set: capture(&r.minUp)},
		{name: "fallback", set: d.fallback(p)},
		{name: "fail_open", set: setValue(&p.FailOpen, d.failOpen)},
		{name: "ecs", set: d.ecs(&p.ECS)},
		{name: "dual_stack", set: setValue(&p.DualStack, func(n *yaml.Node) (DualStack, bool) {
			s, ok := d.oneOf(n, "dual_stack", []string{string(Independent), string(Together)})
			return DualStack(s), ok
		})},
		{name: "max_ejection", set: setValue(&p.MaxEjection, d.maxEjectionOrOff)},
		formerMaxEjection,
		{name: "members", set: capture(&r.members)},
	}, r.policyKeys()...)
	r.memberKeys = append([]field{
		{name: "name", set: setValue(&m.Name, d.identifier)},
		{name: "region", set: d.refer(kindRegion, &m.Region)},
		{name: "addresses", set: d.unicasts(&m.Addresses)},
		{name: "target", set: r.target},
		{name: "cname", set: setValue(&m.CName, d.hostName)},
		{name: "pool", set: d.refer(kindPool, &m.Pool)},
		{name: "weight", set: d.integerInRange(&m.Weight, 0, MaxWeight)},
		{name: "check", set: r.memberCheckKey},
		{name: "enabled", set: d.flag(&m.Enabled)},
		{name: "match", set: r.match},
		{name: "records", set: r.records},
	}, d.loadKeysOf(&m.Load)...)
	return r
}

func (r *poolReader) read(name string, key, value *yaml.Node) Pool {
	p := &r.pool
	*p = r.defaults.pool
	p.Name, p.Pos = name, posOf(key)
	r.members, r.minUp, r.expands = nil, nil, false
	if !r.mapping(value, r.poolKeys) {
		return *p
	}
	r.required(value, "policy", "write one of "+strings.Join(policies(), ", "))
	r.required(value, "members", "a pool has at least one member")
	if p.Policy == AllMembers && yamldoc.Child(value, "answers") == nil {
		p.Answers = 0
	}
	if r.members != nil {
		r.poolMembers(r.members)
	}
	r.checkPolicy(value)
	if r.minUp != nil {
		r.readMinUp(r.minUp)
	}
	return *p
}

func (d *decoder) policy(n *yaml.Node) (Policy, bool) {
	s, ok := d.oneOf(n, "policy", policies())
	return Policy(s), ok
}

// memberCheck reads the name of a check, or none.
func (d *decoder) memberCheck(to *string) setter {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Value == noCheck {
			*to = ""
			return
		}
		d.refer(kindCheck, to)(n)
	}
}

func (d *decoder) fallback(p *Pool) setter {
	return func(n *yaml.Node) {
		d.refer(kindPool, &p.Fallback)(n)
		if p.Fallback == p.Name {
			d.errorf(n, "pool "+quote(p.Name)+" is its own fallback", "name another pool")
		}
	}
}

// failOpen reads a word. The former values true and false are rejected.
func (d *decoder) failOpen(n *yaml.Node) (FailOpen, bool) {
	words := []string{string(Remaining), string(AsIfUp), string(NeverOpen)}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		s, ok := d.oneOf(n, "fail_open", words)
		return FailOpen(s), ok
	}
	hint := "write remaining (the members that are up, or all if none is) or all; never replaces false"
	if strings.EqualFold(n.Value, "false") {
		hint = "write never; the other words are remaining (the members that are up, or all if none is) and all"
	}
	d.errorf(n, n.Value+" is not accepted any more: fail_open is a word", hint)
	return "", false
}

// readMinUp reads a count or percentage of members.
func (r *poolReader) readMinUp(n *yaml.Node) {
	d, p := r.decoder, &r.pool
	s, ok := d.scalar(n)
	if !ok {
		return
	}
	most := max(len(p.Members), 1)
	if r.expands {
		most = math.MaxInt32 // completeTargets checks it
	}
	digits, percent := strings.CutSuffix(s, "%")
	if !percent && decimal(s) {
		if least, ok := d.integer(n, 1, most); ok {
			p.MinUp = MinUp{N: least}
		}
		return
	}
	share, err := strconv.Atoi(digits)
	switch {
	case !decimal(digits):
		d.errorf(n, quote(s)+" is neither a count nor a percentage", "write it like 2 or 50%")
	case err != nil || share < 1 || share > 100:
		d.errorf(n, quote(s)+" is out of range", "1% to 100%")
	default:
		p.MinUp = MinUp{N: share, Percent: true}
	}
}

func (r *poolReader) poolMembers(n *yaml.Node) {
	if r.takeMemberList(n) {
		return
	}
	r.names, r.addresses, r.firstWithTerm = clearMap(r.names), clearMap(r.addresses), clearMap(r.firstWithTerm)
	r.firstWithMatch = clearMap(r.firstWithMatch)
	p, m := &r.pool, &r.member
	p.Members = make([]Member, 0, len(n.Content))
	ok := r.list(n, func(item *yaml.Node) {
		*m = r.defaults.member
		m.Pos = posOf(item)
		if !r.readMember(item) {
			return
		}
		if first, twice := r.names[m.Name]; twice && m.Name != "" {
			r.errorf(yamldoc.Child(item, "name"), "duplicate member "+quote(m.Name), r.firstAt(first, item))
		}
		r.names[m.Name] = m.Pos
		r.warnRepeated(item)
		p.Members = append(p.Members, *m)
	})
	if ok && len(n.Content) == 0 {
		r.errorAtKey(n, "an empty list", "a pool has at least one member")
	}
}

// clearMap returns m for reuse, or a new map if clearing m would take longer.
func clearMap[K comparable, V any](m map[K]V) map[K]V {
	const large = 64
	if m == nil || len(m) > large {
		return make(map[K]V)
	}
	clear(m)
	return m
}

// readMember reads one member of the pool. It reports whether n is a mapping.
func (r *poolReader) readMember(n *yaml.Node) bool {
	p, m := &r.pool, &r.member
	m.Check = p.Check
	r.matched, r.subnetOfRegion = r.matched[:0], nil
	uses := len(r.groupUses)
	if !r.mapping(n, r.memberKeys) {
		return false
	}
	r.required(n, "name", "overrides, logs and metrics identify members by name")
	r.exactlyOneOr(n, "records", "addresses", "target", "cname", "pool")
	r.checkRecords(n)
	r.noteSubnetOfRegion(n)
	if p.Policy.RanksRegions() && yamldoc.Child(n, "region") == nil && r.subnetOfRegion == nil {
		r.errorAtKey(n, "no region", string(p.Policy)+" needs a region on every member")
	}
	if p.Policy == Geolocation {
		r.required(n, "match", "write which clients it is for, or match: default for clients that match no other member")
		r.checkConflicts(n, uses)
	} else if m.Match != nil {
		r.rejectMisfits(n)
	}
	r.noteLoad(n, loadUse{of: m.Load, address: m.hasAddresses(), who: "this one", pool: p.Name})
	switch {
	case m.Pool != "":
		r.nestedPool(n, p, m)
	case m.CName != "":
		r.rejectUnprobedCheck(n, m, "a cname", "a cname is not probed: use target, which tracks its addresses, or leave the check out")
	}
	return true
}

// nestedPool records a member that is a pool.
func (d *decoder) nestedPool(n *yaml.Node, p *Pool, m *Member) {
	d.poolEdges[p.Name] = append(d.poolEdges[p.Name], edge{to: m.Pool, at: nodeKeyOf(yamldoc.Child(n, "pool"))})
	m.Check = "" // its members have their own
	if own := yamldoc.Child(n, "check"); own != nil {
		d.errorf(own, "a check on a member that is a pool", "give it to the members of pool "+quote(m.Pool))
	}
}

// warnRepeated warns of an address that the pool would answer with twice.
func (r *poolReader) warnRepeated(n *yaml.Node) {
	m := &r.member
	for i, a := range m.Addresses {
		first, twice := r.addresses[a]
		if !twice {
			r.addresses[a] = m.Name
			continue
		}
		r.warn(itemAt(yamldoc.Child(n, "addresses"), i, len(m.Addresses)),
			fmt.Sprintf("address %s is in this pool twice", a), "it is first in member "+quote(first))
	}
}

// itemAt returns the i-th of want items of a list, or the list itself if errors removed some.
func itemAt(list *yaml.Node, i, want int) *yaml.Node {
	if len(list.Content) != want {
		return list
	}
	return list.Content[i]
}
