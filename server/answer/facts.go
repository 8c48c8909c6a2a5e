package answer

import (
	"meridian/pools"
	"meridian/zones"
)

// facts holds what is counted and logged of one query.
type facts struct {
	transport Transport
	mode      pools.Mode
	scope     uint8 // of the answer
	located   bool  // a zone of ours has the name: zone is set
	canary    bool  // pool and members are those of the canary
	decided   bool  // a pool decided: pool, mode and members are set
	given     bool  // the pool answered with members: first and last are set
	random    bool  // see isRandom
	waits     bool  // the query is postponed: it is answered later
	family    int   // of the source, see fromIPv4
	qtype     uint16
	zone      zones.ZoneID
	pool      pools.ID
	first     pools.MemberID // the endpoint that gave the first address
	last      pools.MemberID // the last of Scratch.Given: of nested pools the outermost member
}

// countDecision counts the decision that the scratch holds. Of several decisions for one query, the first is logged.
func (r *Responder) countDecision(pool pools.ID, mode pools.Mode) {
	counts, at := r.by.active.answers, r.by.answers
	given := r.by.scratch.Given
	if r.postponed == nil {
		at.add(counts.pools + uint32(pool)*uint32(pools.ModeCount) + uint32(mode))
		for _, m := range given {
			at.add(counts.members + uint32(m))
		}
	}
	f := &r.facts
	if f.decided {
		return
	}
	f.decided, f.pool, f.mode = true, pool, mode
	if len(given) > 0 {
		f.given, f.first, f.last = true, given[0], given[len(given)-1]
	}
}
