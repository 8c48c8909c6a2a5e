package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/pools"
	"meridian/snapshot"
	"meridian/zones"
)

// Canary is a second snapshot: its bindings and pools decide for a share of the clients. All else of an answer is from the
// snapshot that serves: names, static records, SOA, signatures and options. So a client sees one zone with one serial, and
// transfers and updates know nothing of the canary:
//
//	a balanced name is       the client is   decides
//	in both snapshots        in the share    the canary
//	in both snapshots        any other       the snapshot that serves
//	in one of the snapshots  any             the snapshot that serves
//
// The client is the one that decides for the binding that serves: the client subnet if that is used, else the source of the
// packet. The scope of the answer is at least the network by which clients are selected, for all clients: a resolver that
// sends client subnets must not keep an answer for clients of the other snapshot.
type Canary struct {
	Generation uint64 // of the configuration
	Share      pools.ClientShare
	Parts      uint32 // of pools.WholeShare that the share is
	Snapshot   *snapshot.Snapshot
}

// activeCanary is a canary with the values derived from it once for all queries. It is immutable.
type activeCanary struct {
	Canary
	active *activeSnapshot
}

// SetCanary makes the pools of another snapshot decide for a share of the clients; nil: no more. The returned function waits
// until no query reads the canary before. Replace keeps the canary. Callers of both take turns.
func (e *Engine) SetCanary(c *Canary) (waitUnused func()) {
	before := e.current.Load()
	next := before.withCanary(nil)
	if c != nil {
		next = before.withCanary(&activeCanary{*c, newActiveSnapshot(c.Snapshot)})
		e.answers.begin(next.canary.active.answers)
	}
	e.current.Store(next)
	return func() {
		e.responders.waitUnused(before, next)
		if before.canary != nil {
			e.answers.end(before.canary.active.answers, next.answers)
		}
	}
}

// Canary returns the canary that decides for a share of the clients; nil: there is none.
func (e *Engine) Canary() *Canary {
	if c := e.current.Load().canary; c != nil {
		return &c.Canary
	}
	return nil
}

// withCanary returns s with another canary; nil: none.
func (s *activeSnapshot) withCanary(c *activeCanary) *activeSnapshot {
	next := *s
	next.useCanary(c)
	return &next
}

// useCanary sets the canary of a snapshot that answers no query yet.
func (s *activeSnapshot) useCanary(c *activeCanary) {
	s.canary = c
	s.usesTime, s.readsECS = s.snapshot.Pools.UsesTime(), s.zones.UsesECS()
	if c != nil {
		s.usesTime, s.readsECS = s.usesTime || c.active.usesTime, s.readsECS || c.active.readsECS
	}
}

// split returns the binding of a name in the canary, in no view yet, and its zone there; nil: the name is not balanced there.
func (c *activeCanary) split(name []byte, qtype uint16) (*zones.Binding, zones.ZoneID) {
	match := c.active.zones.Lookup(name, qtype)
	if match.Kind != zones.Exact && match.Kind != zones.Wildcard {
		return nil, 0
	}
	return c.active.zones.Balanced(match.Node), match.Zone
}

// scopeIn returns whether a client is in the share of the canary, and the scope that an answer has at least.
func (c *activeCanary) scopeIn(who clientScope) (included bool, scope uint8) {
	included, bits := c.Share.Includes(who.addr)
	return included, who.scopeOf(pools.Decision{Scope: bits})
}

// split selects the snapshot that decides at the current name, which is bound to stable, and returns its binding.
func (r *Responder) split(a *reply, stable *zones.Binding, source netip.Addr) *zones.Binding {
	r.by = r.at
	q, s, c := &r.query, r.at.active, r.at.active.canary
	binding, zone := c.split(a.name, q.qtype)
	if binding == nil {
		return stable
	}
	scope := uint8(0)
	if binding.Views != 0 {
		id, within := c.active.viewOf(binding, &q.edns.subnet, source)
		binding, scope = c.active.zones.InView(binding, id), within
	}
	binding = c.active.zones.ForType(binding, q.qtype)
	if !balances(stable, q.qtype) && !balances(binding, q.qtype) {
		return stable
	}
	included, least := c.scopeIn(s.clientAt(stable, &q.edns.subnet, source))
	if a.scope = max(a.scope, least); !included {
		return stable
	}
	a.scope = max(a.scope, scope)
	q.edns.decidedBy(binding.ECS)
	r.useCanary(zone)
	return binding
}

// useCanary makes the canary decide at the current name, which is in a zone of it.
func (r *Responder) useCanary(zone zones.ZoneID) {
	r.by = r.at.canary
	r.by.zone = zone
	if !r.facts.decided {
		r.facts.canary = true
	}
}

// zoneBy returns the zone of the current name in the snapshot that decides.
func (r *Responder) zoneBy(match zones.Match) zones.ZoneID {
	if r.by == r.at {
		return match.Zone
	}
	return r.by.zone
}

// split is Responder.split on the slow path.
func (q *question) split(owner dnsname.Wire, stable *zones.Binding) *zones.Binding {
	c := q.serving.canary
	binding, zone := c.split(owner.Folded(), q.qtype)
	if binding == nil {
		return stable
	}
	inView := binding
	if binding.Views != 0 {
		id, _ := q.viewIn(c.active, binding)
		inView = c.active.zones.InView(binding, id)
	}
	inView = c.active.zones.ForType(inView, q.qtype)
	if q.qtype != dns.TypeANY && !balances(stable, q.qtype) && !balances(inView, q.qtype) {
		return stable
	}
	included, least := c.scopeIn(q.serving.clientAt(stable, q.subnet, q.source))
	q.scope = max(q.scope, least)
	if q.noteCanary(c, included); !included {
		return stable
	}
	q.bySubnet = q.bySubnet || inView.ECS
	q.useCanary(zone)
	return q.inView(owner, binding)
}

// useStable makes the snapshot that serves decide at the current name.
func (q *question) useStable() {
	if q.by = q.at; q.responder != nil {
		q.responder.by = q.at
	}
}

// useCanary makes the canary decide at the current name, which is in a zone of it.
func (q *question) useCanary(zone zones.ZoneID) {
	if q.by = q.at.canary; q.responder != nil {
		q.responder.useCanary(zone)
	}
	q.by.zone = zone
}

// noteCanary explains which snapshot decides for the client.
func (q *question) noteCanary(c *activeCanary, included bool) {
	if !q.explain {
		return
	}
	q.canary = &ExplainedCanary{Generation: c.Generation, Percent: c.Percent(), Answers: included}
}

// ExplainedCanary describes a canary that some clients of a name are answered by.
type ExplainedCanary struct {
	Generation uint64  `json:"generation"`
	Percent    float64 `json:"percent"` // of the clients
	Answers    bool    `json:"answers"` // it answers this client
}

// Percent returns the share of the clients in percent.
func (c *Canary) Percent() float64 { return float64(c.Parts) / (pools.WholeShare / 100) }

// zoneBy returns the zone of the current name in the snapshot that decides.
func (q *question) zoneBy() zones.ZoneID {
	if q.by == q.at {
		return q.match.Zone
	}
	return q.by.zone
}

// countCanary counts a query that the canary has decided.
func (r *Responder) countCanary(rcode int) {
	r.counts.add(uint32(canaryAnswered))
	if rcode == dns.RcodeServerFailure {
		r.counts.add(uint32(canaryFailed))
	}
}
