package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// policyKeys returns the keys that only some policies have.
func (r *poolReader) policyKeys() []field {
	p := &r.pool
	return []field{
		{name: "default", set: setValue(&p.DefaultNoData, r.onlyWord("nodata"))},
		{name: "on_down", set: setValue(&p.OnDown, func(n *yaml.Node) (OnDown, bool) {
			s, ok := r.oneOf(n, "on_down", []string{string(Widen), string(Fence), string(Open)})
			return OnDown(s), ok
		})},
		{name: "hash", set: r.hashMask(p)},
		{name: "sticky", set: r.sticky(p)},
		{name: "trickle", set: r.percentage(&p.Trickle, 1, 99)},
		{name: "spread", set: setValue(&p.SpreadRegion, r.onlyWord("region"))},
		{name: "shed", set: r.shed(&p.Shed)},
	}
}

// policiesWith returns the policies that have a key; all policies for a key that every pool has.
func policiesWith(key string) []Policy {
	switch key {
	case "default", "on_down", "match":
		return []Policy{Geolocation}
	case "hash":
		return []Policy{Hash, Weighted, RoundRobin}
	case "sticky":
		return []Policy{Weighted, RoundRobin}
	case "trickle":
		return []Policy{Failover}
	case "spread":
		return []Policy{Geolocation, Weighted, RoundRobin, Failover, Hash, Fastest, LeastLoad, AllMembers}
	case "shed":
		return []Policy{Proximity, Weighted, RoundRobin, Failover, Hash, Fastest, LatencyPolicy, AllMembers}
	}
	return nil
}

// rejectMisfits reports the keys of n that the pool's policy does not have.
func (r *poolReader) rejectMisfits(n *yaml.Node) {
	policy := r.pool.Policy
	if policy == "" {
		return
	}
	for key := range yamldoc.Pairs(n) {
		policies := policiesWith(key.Value)
		if policies == nil || slices.Contains(policies, policy) {
			continue
		}
		r.errorf(key, fmt.Sprintf("does not fit policy %s", policy), "it is for "+joinPolicies(policies))
	}
}

func joinPolicies(policies []Policy) string {
	words := make([]string, len(policies))
	for i, p := range policies {
		words[i] = string(p)
	}
	return strings.Join(words, ", ")
}

// checkPolicy checks the requirements of a policy on the whole pool, after its members are read.
func (r *poolReader) checkPolicy(n *yaml.Node) {
	p := &r.pool
	r.rejectMisfits(n)
	r.noteSettings(n)
	if (p.Policy == Weighted || p.Policy == RoundRobin) && yamldoc.Child(n, "sticky") == nil && yamldoc.Child(n, "hash") != nil {
		r.errorAtKey(yamldoc.Child(n, "hash"), "hash without sticky", "write sticky: true beside it, or policy: hash")
	}
	if p.Policy != Geolocation || r.members == nil {
		return
	}
	hasDefault := slices.ContainsFunc(p.Members, func(m Member) bool { return m.Match != nil && m.Match.Default })
	if !hasDefault && yamldoc.Child(n, "default") == nil {
		r.errorAtKey(n, "no default", "write match: default at the member for clients without a match, or default: nodata at the pool")
	}
	if hasDefault && p.DefaultNoData {
		r.errorf(yamldoc.Child(n, "default"), "default: nodata beside a member with match: default", "leave one of them out")
	}
}

// stickyTTL is the value of sticky that applies for one TTL.
const stickyTTL = "ttl"

// sticky reads whether a client's network keeps its member, and for how long.
func (r *poolReader) sticky(p *Pool) setter {
	return func(n *yaml.Node) {
		switch s, ok := r.scalar(n); {
		case !ok:
		case s == stickyTTL:
			p.Sticky, p.StickyTTL = true, true
		case n.Tag == "!!bool":
			p.Sticky = strings.EqualFold(s, "true")
		default:
			r.errorf(n, quote(s)+" is none of true, false and ttl", "")
		}
	}
}

// onlyWord reads a key with a single possible value, which means true.
func (d *decoder) onlyWord(word string) func(*yaml.Node) (bool, bool) {
	return func(n *yaml.Node) (bool, bool) {
		s, ok := d.scalar(n)
		if ok && s != word {
			d.errorf(n, "unknown value "+quote(s), "write "+word+", or leave the key out")
			return false, false
		}
		return ok, ok
	}
}

// percentage reads whole per cent within an inclusive range.
func (d *decoder) percentage(to *int, least, most int) setter {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n)
		if !ok {
			return
		}
		digits, percent := strings.CutSuffix(s, "%")
		share, err := strconv.Atoi(digits)
		switch {
		case !percent || !decimal(digits):
			d.errorf(n, quote(s)+" is not a percentage", fmt.Sprintf("write it like %d%%", max(5, least)))
		case err != nil || share < least || share > most:
			d.errorf(n, quote(s)+" is out of range", fmt.Sprintf("%d%% to %d%%", least, most))
		default:
			*to = share
		}
	}
}
