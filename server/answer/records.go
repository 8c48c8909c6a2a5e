package answer

import (
	"slices"

	"meridian/dnsname"
	"meridian/pools"
	"meridian/zones"
)

// fastRecords answers from the records of the members that the pool draws, and returns the target if the pool answers
// with a CNAME.
func (r *Responder) fastRecords(a *reply, match zones.Match, binding *zones.Binding, who clientScope, signs bool) (next dnsname.Wire) {
	s, qtype, scratch, zone := r.by.active, r.query.qtype, r.by.scratch, r.zoneBy(match)
	d := s.decideRecords(a.request(binding, qtype, who.addr), zone, qtype, scratch)
	r.countDecision(binding.Pool, d.Mode)
	ttl := s.ttl(binding, qtype)
	a.scope = max(a.scope, who.scopeOf(d))
	a.failedOpen = a.failedOpen || d.Mode == pools.FailedOpen
	if scratch.CName != nil {
		return r.fastCName(a, match.Zone, ttl, signs)
	}
	set := s.recordsOf(r.setData, zone, scratch, qtype, signs)
	r.setData, set.TTL = set.Data, ttl
	if set.Count == 0 {
		r.negative(a, match)
		return nil
	}
	a.flags |= flagAA
	a.rrset(answerSection, set, a.owner)
	if signs {
		r.signBalanced(a, match.Zone, qtype, ttl, set.Data)
	}
	return nil
}

// decideRecords decides which members answer a type by their records. In a zone with family: widen, members without such
// a record are not drawn if others have one.
func (s *activeSnapshot) decideRecords(asked pools.Request, id zones.ZoneID, qtype uint16, scratch *pools.Scratch) pools.Decision {
	first := s.snapshot.Pools.DecideRecords(asked, qtype, scratch)
	return s.widenedRecords(first, asked, id, qtype, scratch)
}

// widenedRecords is widened for the records of members.
func (s *activeSnapshot) widenedRecords(first pools.Decision, asked pools.Request, id zones.ZoneID, qtype uint16, scratch *pools.Scratch) pools.Decision {
	if s.widens == nil || !s.widens[id] || len(scratch.Given) > 0 || scratch.CName != nil {
		return first
	}
	scratch.Widen = true
	again := s.snapshot.Pools.DecideRecords(asked, qtype, scratch)
	scratch.Widen = false
	again.Scope = max(again.Scope, first.Scope)
	return again
}

// recordsOf returns the records of the members that were drawn. Those of a signed set are in the order of the members,
// so that all draws of the same members have one signature.
func (s *activeSnapshot) recordsOf(buf []byte, id zones.ZoneID, scratch *pools.Scratch, qtype uint16, signs bool) zones.RRset {
	if signs {
		slices.Sort(scratch.Given)
	}
	return s.zones.AppendMemberRecords(buf, id, scratch.Given, qtype)
}

// records adds the records of the members that a pool has drawn, and reports whether there are any.
func (q *question) records(owner dnsname.Wire, ttl uint32, rrtype uint16) bool {
	set := q.by.active.recordsOf(nil, q.zoneBy(), q.by.scratch, rrtype, q.signs())
	set.TTL = ttl
	if set.Count > 0 {
		q.answer(owner, set)
	}
	return set.Count > 0
}

// decideType decides for a question about a type of record at a balanced name.
func (q *question) decideType(asked pools.Request, binding *zones.Binding, rrtype uint16) pools.Decision {
	if !binding.Gives(rrtype) {
		return q.by.active.widened(q.decide(asked), asked, q.zoneBy(), rrtype, q.by.scratch)
	}
	if !q.explain {
		return q.by.active.decideRecords(asked, q.zoneBy(), rrtype, q.by.scratch)
	}
	d, steps := q.by.active.snapshot.Pools.ExplainRecords(asked, rrtype, q.by.scratch)
	q.noteSteps(steps)
	return q.by.active.widenedRecords(d, asked, q.zoneBy(), rrtype, q.by.scratch)
}

// anyRecords adds the records of one type that a pool answers by those of its members, and reports whether there are any.
func (q *question) anyRecords(owner dnsname.Wire, binding *zones.Binding) bool {
	for rrtype := range binding.MemberTypes {
		if q.balanced(owner, binding, rrtype) {
			return true
		}
	}
	return false
}
