package zones

import (
	"github.com/miekg/dns"

	"meridian/config"
)

// AppendTypes appends the types that any client can get at node, for the type bitmap of an NSEC record (RFC 4034
// 4.1.2). It leaves out those that each name of a signed zone has. A resolver that has the record answers other clients
// from it (RFC 8198): a type that one client does not get must be in it if another one does.
//
//	node                            types
//	a cut                           NS, and DS
//	the parent side of an apex      NS, and DS
//	balanced                        the static types, A and AAAA if a member has any, HTTPS if configured, types of members' records
//	any other                       the static types
//
// A CNAME of a pool is never in it: with CNAME, the record would prove nothing about other types (RFC 6840 4.3).
func (s *Data) AppendTypes(types []uint16, node NodeID) []uint16 {
	n := s.node(node)
	if n.flags.has(isCut) || n.flags.has(isAbove) {
		types = append(types, dns.TypeNS)
		if _, signed := s.RRset(node, dns.TypeDS); signed {
			types = append(types, dns.TypeDS)
		}
		return types
	}
	sets := s.nodeSets(n)
	for i := range sets {
		types = append(types, sets[i].typ)
	}
	if n.flags.has(isBalanced) {
		types = s.appendGiven(types, n)
	}
	return types
}

// appendGiven appends the types that the pools of a balanced name give, in all its views.
func (s *Data) appendGiven(types []uint16, n *node) []uint16 {
	all := s.bindings[n.extra]
	if all.Views != 0 || all.AAAA != 0 {
		for b := range s.bindingsOf(n) {
			all.Types |= b.Types
		}
	}
	if all.Types&givesV4 != 0 {
		types = append(types, dns.TypeA)
	}
	if all.Types&givesV6 != 0 {
		types = append(types, dns.TypeAAAA)
	}
	if all.HTTPS.Exists() {
		types = append(types, dns.TypeHTTPS)
	}
	for typ := range all.MemberTypes {
		types = append(types, typ)
	}
	return types
}

// AppendPoolTypes appends the types that the pools of a balanced name can give to any client, with CNAME.
func (s *Data) AppendPoolTypes(types []uint16, node NodeID) []uint16 {
	n := s.node(node)
	if !n.flags.has(isBalanced) {
		return types
	}
	if s.GivesCName(node) {
		types = append(types, dns.TypeCNAME)
	}
	return s.appendGiven(types, n)
}

// Delegates reports whether node is a zone cut, or the parent side of an apex of ours.
func (s *Data) Delegates(node NodeID) bool {
	n := s.node(node)
	return n.flags.has(isCut) || n.flags.has(isAbove)
}

// IsApex reports whether node is the apex of a zone.
func (s *Data) IsApex(node NodeID) bool { return s.node(node).flags.has(isApex) }

// families holds whether a pool can answer with addresses of each family.
type families struct{ v4, v6 bool }

func (f families) and(g families) families { return families{f.v4 || g.v4, f.v6 || g.v6} }

// givenFamilies returns the families that a name bound to each pool can be answered with: from its members, its nested
// pools and its fallback, whatever their state. The addresses of a target may be of both.
func (c *compiler) givenFamilies() []families {
	of := func(m *config.Member) (f families) {
		if m.Target != "" {
			return families{true, true}
		}
		for _, addr := range m.Addresses {
			f = f.and(families{addr.Is4(), addr.Is6()})
		}
		return f
	}
	return foldPools(c, of, families.and)
}
