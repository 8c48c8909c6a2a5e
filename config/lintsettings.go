package config

import (
	"fmt"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// setting is a key of a pool.
type setting struct{ pool, key string }

// noteSettings records the positions of pool keys that can be without effect.
func (r *poolReader) noteSettings(n *yaml.Node) {
	for key := range yamldoc.Pairs(n) {
		switch key.Value {
		case "policy", "trickle", "spread", "shed", "fallback", "fail_open", "check", "min_up", "ecs":
			r.settings[setting{r.pool.Name, key.Value}] = nodeKeyOf(key)
		}
	}
}

// unusedSettings warns of settings of a pool that have no effect:
//
//	setting                       has no effect if
//	shed                          no member has a load, see loadKnown; under proximity and latency it spreads the clients of lost regions even so
//	hash: {bound}                 no member has a load
//	policy: least-load            the same, and no member has a capacity
//	policy: fastest               no member has a check, or is a pool with members that may
//	trickle                       fewer than two members may be answered
//	ecs                           no name is bound to the pool for all clients and types but AAAA
//	spread                        all members are in one region, or all answers have one member
//	a member with match: default  all such members are disabled or have weight 0
//	the pool itself               all its members are
func (s *linter) unusedSettings(p *Pool) {
	ready := p.readyMembers()
	if ready == 0 {
		s.warnAt(keyAt(p.Pos), "no member is enabled and has weight: none is ever answered", "enable one, or give it weight")
	}
	s.idleLoadLimits(p)
	s.idlePolicy(p)
	if p.Trickle > 0 && ready == 1 {
		s.idle(p, "trickle", "only one member may be answered: there is no standby", "write another, or leave trickle out")
	}
	if !s.decidesECS[p.Name] { // checked even if absent: idle warns only of keys in the file
		s.idle(p, "ecs", "no name takes ecs from this pool: that of the outer pool applies, or of the pool for A and for all clients", "write it at the names, or at that pool")
	}
	if p.SpreadRegion {
		s.idleSpread(p, func(what string) { s.idle(p, "spread", what, "leave it out") })
	}
	s.idleDefault(p)
}

// idle warns of a key without effect, if the pool has it.
func (s *linter) idle(p *Pool, key, what, hint string) {
	if at, written := s.settings[setting{p.Name, key}]; written {
		s.warnAt(at, what, hint)
	}
}

// idlePolicy warns of a policy that has nothing to compare members by.
func (s *linter) idlePolicy(p *Pool) {
	switch {
	case p.Policy == LeastLoad && !s.loadKnown(p) && !p.anyMember(func(m *Member) bool { return m.Load != nil }):
		s.idle(p, "policy", "no member has a load or a capacity: all are selected by weight", "write load or capacity at the members, or policy: weighted")
	case p.Policy == Fastest && !p.anyMember(func(m *Member) bool { return m.Check != "" || m.Pool != "" }):
		s.idle(p, "policy", "no member has a check to measure response times: all are selected by weight", "write check, or policy: weighted")
	}
}

// idleSpread warns of a spread without effect.
func (s *linter) idleSpread(p *Pool, warn func(what string)) {
	switch {
	case !p.anyMember(func(m *Member) bool { return m.Region != p.Members[0].Region }):
		warn("all members are of one region: nothing is spread")
	case p.Answers == 1 && !s.multiAnswer[p.Name]:
		warn("answers have one member: nothing is spread")
	}
}

// idleDefault warns of default members if none of them may be answered.
func (s *linter) idleDefault(p *Pool) {
	isDefault := func(m *Member) bool { return m.Match != nil && m.Match.Default }
	if p.anyMember(func(m *Member) bool { return isDefault(m) && m.ready() }) {
		return
	}
	for i := range p.Members {
		if m := &p.Members[i]; isDefault(m) {
			why := "has weight 0"
			if !m.Enabled {
				why = "is disabled"
			}
			s.warnAt(nodeKey{m.Match.Pos, yaml.ScalarNode, false}, fmt.Sprintf("member %s %s: clients without a match get no address", quote(m.Name), why),
				"give it weight and enable it, or write default: nodata at the pool in its place")
		}
	}
}

// severalAnswers returns the pools with a name that requests several answers.
func severalAnswers(zones []Zone) map[string]bool {
	several := make(map[string]bool)
	for i := range zones {
		for b := range zones[i].Bindings() {
			if b.Answers != 1 {
				several[b.Pool] = true
			}
		}
	}
	return several
}

// loadKnown reports whether the load of any member may ever be known:
//
//	the member       its load comes from
//	has load         that load
//	has capacity     nothing
//	is a pool        one of that pool's members
//	none of these    its region, if that has a load
func (s *linter) loadKnown(p *Pool) bool {
	known, done := s.reportsLoad[p.Name]
	if done {
		return known
	}
	s.reportsLoad[p.Name] = p.anyMember(func(m *Member) bool {
		switch {
		case m.Load != nil:
			return m.Load.Load != ""
		case m.Pool != "":
			return s.loadKnown(s.pools[m.Pool])
		}
		return s.loadedRegions[m.Region]
	})
	return s.reportsLoad[p.Name]
}

// anyMember reports whether the condition is true for any member.
func (p *Pool) anyMember(is func(*Member) bool) bool {
	for i := range p.Members {
		if is(&p.Members[i]) {
			return true
		}
	}
	return false
}

// readyMembers counts the members that may be answered, up to 2.
func (p *Pool) readyMembers() int {
	n := 0
	for i := 0; i < len(p.Members) && n < 2; i++ {
		if p.Members[i].ready() {
			n++
		}
	}
	return n
}

// ready reports whether a member may be answered while it is up.
func (m *Member) ready() bool { return m.Enabled && m.Weight > 0 }
