package config

import "fmt"

// ineffectiveSettings warns of settings of a pool that can have no effect because of how
// the pool is used:
//
//	setting               has no effect when
//	fallback, fail_open   no name is bound to the pool: only the pool that a name is bound to uses them
//	fallback              on_down is fence or open, and every client has a match
//	check                 every member is a pool or a cname
//	min_up                more members must be up than can be eligible: the pool is never live
func (s *linter) ineffectiveSettings(p *Pool) {
	warn := func(key, what, hint string) {
		if at, written := s.settings[setting{p.Name, key}]; written {
			s.warnAt(at, what, hint)
		}
	}
	if s.nestedOnly(p) {
		for _, key := range []string{"fallback", "fail_open"} {
			warn(key, fmt.Sprintf("%s has no effect: no name is bound to pool %s", key, quote(p.Name)), "write it at the pool that the name is bound to, or leave it out")
		}
	} else if p.Fallback != "" && p.HoldsEveryClient() {
		warn("fallback", fmt.Sprintf("the fallback is never used: on_down: %s keeps every client in its match", p.OnDown), "leave fallback out, or write default: nodata or on_down: widen")
	}
	if p.Check != "" && !p.anyMember((*Member).hasAddresses) {
		warn("check", "check has no effect: every member is a pool or a cname", "write it at the pools that have addresses")
	}
	if ready := p.usableMembers(); !p.MinUp.Percent && ready > 0 && p.MinUp.N > ready {
		warn("min_up", fmt.Sprintf("min_up %d: only %d of %d members are enabled and have weight, so the pool is never live", p.MinUp.N, ready, len(p.Members)), "write at most that many")
	}
}

// nestedOnly reports whether a pool is used, but no name is bound to it.
func (s *linter) nestedOnly(p *Pool) bool {
	def := s.declared[kindPool][p.Name]
	return !s.bound[p.Name] && def != nil && def.used
}

// HoldsEveryClient reports whether every client has a match and never leaves it.
func (p *Pool) HoldsEveryClient() bool {
	return p.fences() && p.anyMember(func(m *Member) bool { return m.Match != nil && m.Match.Default })
}

// fences reports whether clients of the pool never leave their match.
func (p *Pool) fences() bool { return p.Policy == Geolocation && p.OnDown.Fences() }

// usableMembers counts the members that are enabled and have weight.
func (p *Pool) usableMembers() int {
	n := 0
	for i := range p.Members {
		if p.Members[i].ready() {
			n++
		}
	}
	return n
}

// fenceLeaks warns of fences that are open in ways that their author may not expect:
//
//	the fence                       opened by
//	of a pool with a fallback       the fallback, for clients without a match
//	of a pool nested in another     the other members of that pool: it skips a pool without an answer
//
// A fallback of the outer pool does not open it.
func (s *linter) fenceLeaks(p *Pool) {
	if p.fences() && p.Fallback != "" && !p.HoldsEveryClient() && s.bound[p.Name] {
		s.warnAt(s.settings[setting{p.Name, "fallback"}], fmt.Sprintf("a fence that this fallback opens: clients without a match get pool %s while the pool is not live", quote(p.Fallback)),
			"leave fallback out if they are to get no address; clients with a match never get it")
	}
	if p.readyMembers() < 2 || p.fences() {
		return
	}
	for i := range p.Members {
		m := &p.Members[i]
		if m.Pool == "" || !m.ready() || !s.pools[m.Pool].fences() {
			continue
		}
		s.warnAt(keyAt(p.Pos), fmt.Sprintf("pool %s fences its clients, and member %s is not the only one: while the client's match is down, another member of this pool answers", quote(m.Pool), quote(m.Name)),
			"bind names to the fenced pool itself if clients must not leave it")
	}
}
