package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// viewOf returns the view of a query at a name with views, and what the scope of the answer is at least:
//
//	the query                              view of               scope
//	has a signature by the key of a view   the key               -
//	is from a resolver in ecs_from, and
//	  has a client subnet                  the subnet            of the prefix within which all clients are in the view
//	  has none, or source prefix 0         all other clients     0
//	any other                              the packet's source   -
//
// The client subnet of other resolvers does not count: any client could write one of another view. A resolver that sends
// client subnets may give an answer of scope 0 to all its clients, so that one is not that of the resolver's own view.
func (s *activeSnapshot) viewOf(binding *zones.Binding, subnet *clientSubnet, source netip.Addr) (id zones.ViewID, scope uint8) {
	clients, bySubnet := s.viewClients(binding, subnet, source)
	if !clients.IsValid() {
		return 0, 0
	}
	id, length := s.zones.ViewOf(clients)
	if bySubnet {
		scope = uint8(subnet.addr.BitLen() - clients.Addr().BitLen() + length) // 96 more for an IPv4-mapped subnet
	}
	return id, scope
}

// viewClients returns the clients whose view is that of a query, and whether that is its client subnet; an invalid
// prefix: the view of all other clients.
func (s *activeSnapshot) viewClients(binding *zones.Binding, subnet *clientSubnet, source netip.Addr) (clients netip.Prefix, bySubnet bool) {
	switch {
	case s.ecsFrom == nil || !binding.ECS || !s.ecsFrom.Contains(source):
		return netip.PrefixFrom(source, source.BitLen()), false
	case !subnet.present || subnet.source == 0:
		return netip.Prefix{}, false
	}
	addr := subnet.addr.Unmap()
	return netip.PrefixFrom(addr, max(0, int(subnet.source)-(subnet.addr.BitLen()-addr.BitLen()))), true
}

// inView returns the binding of the name for the view of the query.
func (r *Responder) inView(a *reply, binding *zones.Binding, source netip.Addr) *zones.Binding {
	s := r.at.active
	id, scope := s.viewOf(binding, &r.query.edns.subnet, source)
	a.scope = max(a.scope, scope)
	return s.zones.InView(binding, id)
}

// inView is Responder.inView on the slow path, where queries may have a signature. owner is the current name.
func (q *question) inView(owner dnsname.Wire, binding *zones.Binding) *zones.Binding {
	if binding.Views != 0 {
		id, scope := q.viewIn(q.by.active, binding)
		q.scope = max(q.scope, scope)
		inView := q.by.active.zones.InView(binding, id)
		if q.explain {
			q.noteView(owner, binding, q.by.active.zones.ForType(inView, q.qtype), id)
		}
		binding = inView
	}
	if q.explain && binding.AAAA != 0 {
		q.noteFamilies(owner, binding)
	}
	binding = q.by.active.zones.ForType(binding, q.qtype)
	q.boundTo = binding.Pool
	return binding
}

// viewIn is viewOf in a snapshot, for a query that may have a signature.
func (q *question) viewIn(s *activeSnapshot, binding *zones.Binding) (id zones.ViewID, scope uint8) {
	if byKey, ok := q.viewOfKey(s); ok {
		return byKey, 0
	}
	return s.viewOf(binding, q.subnet, q.source)
}

// noteFamilies explains that a name has one pool for A and one for AAAA.
func (q *question) noteFamilies(owner dnsname.Wire, binding *zones.Binding) {
	all := q.by.active.snapshot.Config.Pools
	q.note("%s is bound to pool %q for A and to pool %q for AAAA", owner, all[binding.Pool].Name, all[q.by.active.zones.ForType(binding, dns.TypeAAAA).Pool].Name)
}

// viewOfKey returns the view of the key that signs the query, in a snapshot.
func (q *question) viewOfKey(s *activeSnapshot) (zones.ViewID, bool) {
	if q.responder == nil || q.responder.tsig == nil {
		return 0, false
	}
	return s.zones.ViewOfKey(q.responder.tsig.Key().Name())
}

// noteView explains the view of the client at a name.
func (q *question) noteView(owner dnsname.Wire, all, binding *zones.Binding, id zones.ViewID) {
	cfg := q.by.active.snapshot.Config
	pool := cfg.Pools[binding.Pool].Name
	if id == 0 {
		q.note("%s is bound to pool %q: the client is in no view", owner, pool)
		return
	}
	q.view = cfg.Views[id-1].Name
	clients, _ := q.by.active.viewClients(all, q.subnet, q.source)
	q.note("%s is bound to pool %q: the client is in network %s of view %q", owner, pool, q.by.active.zones.ViewNetwork(clients), q.view)
}
