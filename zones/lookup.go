package zones

import (
	"github.com/miekg/dns"

	"meridian/dnsname"
)

// Kind is the outcome of a lookup.
type Kind uint8

// The kinds, each with the DNS outcome that it leads to.
const (
	Refused     Kind = iota // no zone of ours encloses the name
	Exact                   // Node is the name itself
	Wildcard                // Node is the wildcard that covers the name (RFC 4592)
	NXDomain                // neither the name nor anything below it exists
	Referral                // Node is the zone cut at or above the name
	DName                   // Node, above the name, has a DNAME (RFC 6672)
	Unavailable             // the zone has no data: see Missing
)

// Match is the outcome of a lookup by name.
type Match struct {
	Kind Kind
	Zone ZoneID
	Node NodeID // 0 with Refused and NXDomain; the apex with Unavailable
}

// Lookup finds name, in wire form and lower case. It neither allocates nor locks. A DS query at a cut belongs to the
// parent and is Exact there (RFC 4035 3.1.4.1), so Lookup needs the type.
//
// The truth table; the first matching row applies (RFC 1034 4.3.2):
//
//	the name is    and it, or its closest encloser,       outcome
//	in a zone      that has no data                       Unavailable; DS of its apex is in the zone above
//	a node         is a cut, and the type is DS           Exact
//	a node         is at or below a cut                   Referral
//	a node         is below a DNAME                       DName
//	a node         is an apex below a zone of ours, DS    Exact, in the zone above
//	a node                                                Exact
//	no node        has no node above it                   Refused
//	no node        is at or below a cut                   Referral
//	no node        is at or below a DNAME                 DName
//	no node        has a wildcard directly below it       Wildcard
//	no node                                               NXDomain
func (s *Data) Lookup(name dnsname.Wire, qtype uint16) Match {
	if id := s.find(name); id != 0 {
		return s.existing(id, qtype)
	}
	return s.missing(s.encloser(name))
}

// existing returns the outcome for a name that is a node.
func (s *Data) existing(id NodeID, qtype uint16) Match {
	n := s.node(id)
	switch {
	case n.cover != 0 && (n.cover != id || qtype != dns.TypeDS || s.orphan(n)):
		return s.covered(n)
	case qtype == dns.TypeDS && n.flags.has(isApex) && s.zones[n.zone].above != 0:
		above := s.zones[n.zone].above
		return Match{Kind: Exact, Zone: s.node(above).zone, Node: above}
	}
	return Match{Kind: Exact, Zone: n.zone, Node: id}
}

// missing returns the outcome for a name that is not a node, below its closest encloser.
func (s *Data) missing(encloser NodeID) Match {
	n := s.node(encloser)
	switch {
	case encloser == 0:
		return Match{Kind: Refused}
	case n.cover != 0:
		return s.covered(n)
	case n.flags.has(isDName):
		return Match{Kind: DName, Zone: n.zone, Node: encloser}
	case n.wild != 0:
		return Match{Kind: Wildcard, Zone: n.zone, Node: n.wild}
	}
	return Match{Kind: NXDomain, Zone: n.zone}
}

// orphan reports whether n, which has a cover, is the apex of a zone without data that is below no zone of ours.
func (s *Data) orphan(n *node) bool { return n.flags.has(isApex) && s.zones[n.zone].above == 0 }

// covered returns the outcome at and below n, which has a cover.
func (s *Data) covered(n *node) Match {
	switch cover := s.node(n.cover); {
	case cover.flags.has(isCut):
		return Match{Kind: Referral, Zone: n.zone, Node: n.cover}
	case cover.flags.has(isDName):
		return Match{Kind: DName, Zone: n.zone, Node: n.cover}
	}
	return Match{Kind: Unavailable, Zone: n.zone, Node: n.cover}
}

// encloser returns the closest node above name, or 0.
func (s *Data) encloser(name dnsname.Wire) NodeID {
	labels := name.Labels()
	for rest := name.Parent(); len(rest) > 0; rest = rest.Parent() {
		labels--
		if labels > s.maxLabels {
			continue // no node is that deep, so a long name costs no more probes than a short one
		}
		if id := s.find(rest); id != 0 {
			return id
		}
	}
	return 0
}
