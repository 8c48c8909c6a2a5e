package answer

import (
	"meridian/dnsname"
	"meridian/zones"
)

// hashes returns the NSEC3 records of a presigned zone.
func (s *activeSnapshot) hashes(id zones.ZoneID) *zones.Hashes { return s.zones.Presigned(id).Hashes }

// denyByHash collects the NSEC3 records that deny a type at the name of match (RFC 5155 7.2):
//
//	name                               NSEC3 records
//	does not exist                     the closest encloser's, that covers the next closer name, that covers its wildcard
//	exists                             that of the name
//	exists, with opt-out without one   the closest encloser's, that covers the next closer name
//	by a wildcard                      the same, and that of the wildcard
func (g *signatures) denyByHash(s *activeSnapshot, match zones.Match, name dnsname.Wire) {
	h := s.hashes(match.Zone)
	if match.Kind == zones.Exact || match.Kind == zones.Referral {
		if node := h.Match(name); node != 0 {
			g.proofs.add(node)
			return
		}
	}
	encloser := g.proveEncloser(s, h, match.Zone, name)
	switch match.Kind {
	case zones.NXDomain:
		g.next = append(append(g.next[:0], 1, '*'), encloser...)
		if node := h.Match(g.next); node != 0 {
			g.proofs.add(node)
			return
		}
		g.proofs.add(h.Cover(g.next))
	case zones.Wildcard:
		g.proofs.add(h.Match(s.zones.NodeName(match.Node)))
	}
}

// proveEncloser collects the records of the closest encloser proof of a name (RFC 5155 7.2.1). It returns the encloser: the
// closest name above that has a record, because with opt-out some have none.
func (g *signatures) proveEncloser(s *activeSnapshot, h *zones.Hashes, id zones.ZoneID, name dnsname.Wire) dnsname.Wire {
	apex := s.zones.Apex(id)
	for encloser := s.zones.Encloser(name); len(encloser) >= len(apex); encloser = encloser.Parent() {
		if node := h.Match(encloser); node != 0 {
			g.proofs.add(node)
			g.proofs.add(h.Cover(nextCloser(name, encloser)))
			return encloser
		}
	}
	return apex
}

// nextCloser returns the ancestor of a name, or the name itself, that is one label longer than its encloser.
func nextCloser(name, encloser dnsname.Wire) dnsname.Wire {
	for len(name.Parent()) > len(encloser) {
		name = name.Parent()
	}
	return name
}
