package limit

import (
	"bytes"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"meridian/config"
	"meridian/dnsname"
)

// Filter finds the rule that applies to a query: the first one that matches. It is immutable but for its counts, and
// safe for concurrent use. A nil Filter has no rules.
type Filter struct{ rules []filterRule }

// filterRule is a rule, prepared for queries. A condition that is nil matches every query.
type filterRule struct {
	config.FilterRule
	names  []namePattern
	source *bart.Lite
	counts *filterCounts
}

// namePattern is a name in wire form, in lower case, or all names below it.
type namePattern struct {
	name  dnsname.Wire
	below bool
}

// countStripes is the number of counters of a rule: workers do not share the cache line of a counter.
const countStripes = 16

// filterCounts holds the number of queries that a rule has matched, in parts.
type filterCounts [countStripes]struct {
	n atomic.Uint64
	_ [56]byte
}

// NewFilter returns a filter of rules; nil without any. A rule that before has too continues its count.
func NewFilter(rules []config.FilterRule, before *Filter) *Filter {
	if len(rules) == 0 {
		return nil
	}
	f := &Filter{rules: make([]filterRule, len(rules))}
	for i := range rules {
		f.rules[i] = prepareRule(&rules[i])
		f.rules[i].counts = before.countsOf(&rules[i])
	}
	return f
}

func prepareRule(rule *config.FilterRule) filterRule {
	r := filterRule{FilterRule: *rule}
	for _, name := range rule.Names {
		wire := name.Wire()
		if name.Wildcard() {
			r.names = append(r.names, namePattern{wire.Parent(), true})
		} else {
			r.names = append(r.names, namePattern{wire, false})
		}
	}
	if len(rule.Source) > 0 {
		r.source = new(bart.Lite)
		for _, network := range rule.Source {
			r.source.Insert(network)
		}
	}
	return r
}

// countsOf returns the counts of an equal rule, or new ones.
func (f *Filter) countsOf(rule *config.FilterRule) *filterCounts {
	if f != nil {
		for i := range f.rules {
			if f.rules[i].Equal(rule) {
				return f.rules[i].counts
			}
		}
	}
	return new(filterCounts)
}

// Match returns the index of the rule that applies to a query, or -1. name is in wire form, in lower case; nil: it could
// not be read, and neither could the type.
func (f *Filter) Match(name []byte, qtype uint16, source netip.Addr) int {
	for i := range f.rules {
		if f.rules[i].matches(name, qtype, source) {
			return i
		}
	}
	return -1
}

func (r *filterRule) matches(name []byte, qtype uint16, source netip.Addr) bool {
	switch {
	case name == nil && len(r.Types)+len(r.names) > 0:
		return false
	case len(r.Types) > 0 && !slices.Contains(r.Types, qtype):
		return false
	case r.source != nil && !r.source.Contains(source):
		return false
	}
	if len(r.names) == 0 {
		return true
	}
	for i := range r.names {
		if r.names[i].matches(name) {
			return true
		}
	}
	return false
}

// matches reports whether name is p, or is below it.
func (p *namePattern) matches(name []byte) bool {
	if !p.below {
		return bytes.Equal(name, p.name)
	}
	if len(name) <= len(p.name) || !bytes.HasSuffix(name, p.name) {
		return false
	}
	for len(name) > len(p.name) { // the rest begins at a label
		name = name[1+int(name[0]):]
	}
	return len(name) == len(p.name)
}

// Action returns what happens to the queries of a rule.
func (f *Filter) Action(rule int) config.FilterAction { return f.rules[rule].FilterRule.Action }

// Count counts a query of a rule. stripe is a number of the worker.
func (f *Filter) Count(rule int, stripe uint32) { f.rules[rule].counts[stripe%countStripes].n.Add(1) }

// FilterStatus is a rule with the number of queries that it has matched.
type FilterStatus struct {
	config.FilterRule
	Queries uint64
}

// Status returns the rules, in the order in which queries are compared with them.
func (f *Filter) Status() []FilterStatus {
	if f == nil {
		return nil
	}
	all := make([]FilterStatus, len(f.rules))
	for i := range f.rules {
		all[i].FilterRule = f.rules[i].FilterRule
		for j := range f.rules[i].counts {
			all[i].Queries += f.rules[i].counts[j].n.Load()
		}
	}
	return all
}
