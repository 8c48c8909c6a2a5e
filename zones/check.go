package zones

import (
	"bytes"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// check checks the zones as a whole, beyond single records.
func (c *compiler) check() {
	for i := 1; i < len(c.s.nodes); i++ {
		n := &c.s.nodes[i]
		if n.sets == 0 && !n.flags.has(isBalanced|isWhoami) {
			continue
		}
		id := NodeID(i)
		c.checkSingle(id)
		c.checkAlias(id)
		c.checkLoop(id)
		c.checkWildcard(id)
		c.checkBalanced(id)
		c.checkMemberTypes(id)
		c.checkWhoami(id)
		c.checkCName(id)
		c.checkBelow(id)
		if n.flags.has(isCut) {
			c.checkNameservers(id)
		}
	}
	for i := range c.s.zones {
		if c.s.zones[i].apex != 0 && !c.hasErrors[i] && c.s.zones[i].missing == 0 {
			c.checkApex(ZoneID(i))
		}
	}
	c.checkPoolLoops()
	c.checkTargets()
	c.checkServices()
	c.checkFamilyPools()
}

// setOf returns a node's set of a type and its position, or false if there is none.
func (c *compiler) setOf(id NodeID, typ uint16) (rrset, place, bool) {
	n := &c.s.nodes[id]
	for i := n.set; i < n.set+uint32(n.sets); i++ {
		if c.s.sets[i].typ == typ {
			return c.s.sets[i], c.setAt[i], true
		}
	}
	return rrset{}, place{}, false
}

// types yields the types at a node, with their positions.
func (c *compiler) types(id NodeID) func(yield func(uint16, place) bool) {
	n := &c.s.nodes[id]
	return func(yield func(uint16, place) bool) {
		for i := n.set; i < n.set+uint32(n.sets); i++ {
			if !yield(c.s.sets[i].typ, c.setAt[i]) {
				return
			}
		}
	}
}

// checkSingle checks the types that a name has at most once.
func (c *compiler) checkSingle(id NodeID) {
	for _, typ := range [...]uint16{dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME} {
		set, at, ok := c.setOf(id, typ)
		if !ok {
			continue
		}
		if set.count > 1 {
			c.errorf(at, "a name has at most one", "%s has %d different %s records", c.quoted(id), set.count, typeName(typ))
		}
		if typ == dns.TypeSOA && !c.s.nodes[id].flags.has(isApex) {
			c.errorf(at, "", "SOA of %s, which is not the apex of the zone", c.quoted(id))
		}
	}
}

// checkAlias checks that a CNAME has no other type beside it, except those of DNSSEC (RFC 2181 10.1, RFC 4035 2.5),
// and that no DNAME is at a cut (RFC 6672 2.3).
func (c *compiler) checkAlias(id NodeID) {
	if _, at, ok := c.setOf(id, dns.TypeCNAME); ok {
		for typ := range c.types(id) {
			if typ != dns.TypeCNAME && typ != dns.TypeRRSIG && typ != dns.TypeNSEC {
				c.errorf(at, "a name with a CNAME has no other records", "CNAME of %s is beside %s", c.quoted(id), typeName(typ))
				break
			}
		}
	}
	if _, at, ok := c.setOf(id, dns.TypeDNAME); ok && c.s.nodes[id].flags.has(isCut) {
		c.errorf(at, "a name is either delegated or redirected", "DNAME of %s is beside NS", c.quoted(id))
	}
}

// checkWildcard rejects NS and DNAME at and below a wildcard: their meaning is undefined (RFC 4592 4.2, 4.4).
func (c *compiler) checkWildcard(id NodeID) {
	wild := false
	for rest := c.s.NodeName(id); len(rest) > len(c.s.Apex(c.s.nodes[id].zone)); rest = rest.Parent() {
		wild = wild || rest[0] == 1 && rest[1] == '*'
	}
	if !wild {
		return
	}
	for _, typ := range [...]uint16{dns.TypeNS, dns.TypeDNAME} {
		if _, at, ok := c.setOf(id, typ); ok {
			c.errorf(at, "write each name out", "%s of %s is at or below a wildcard", typeName(typ), c.quoted(id))
		}
	}
}

// checkBalanced checks that only the pool gives the addresses of a balanced name.
func (c *compiler) checkBalanced(id NodeID) {
	if !c.s.nodes[id].flags.has(isBalanced) {
		return
	}
	for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME} {
		if _, at, ok := c.setOf(id, typ); ok {
			c.errorf(at, "remove one of the two", "%s of %s, whose addresses come from a pool", typeName(typ), c.quoted(id))
		}
	}
}

// checkBelow checks the nodes at and below a cut, and below a DNAME.
func (c *compiler) checkBelow(id NodeID) {
	n := &c.s.nodes[id]
	switch {
	case n.cover == 0 || c.s.zones[n.zone].missing != 0:
	case n.flags.has(isBalanced) && c.copied(n.zone):
		c.warnCovered(id)
	case !c.s.nodes[n.cover].flags.has(isCut):
		c.checkBelowDNAME(id, n.cover)
	case n.flags.has(isBalanced | isWhoami):
		b := c.entryOf(id)
		c.nameErrorf(n.zone, b, "remove the delegation or this name", "%q is at or below the delegation of %s", b.Name, c.quoted(n.cover))
	default:
		c.warnOccluded(id)
	}
}

// checkBelowDNAME rejects all data below a DNAME (RFC 6672 2.4).
func (c *compiler) checkBelowDNAME(id, dname NodeID) {
	if n := &c.s.nodes[id]; n.flags.has(isBalanced | isWhoami) {
		b := c.entryOf(id)
		c.nameErrorf(n.zone, b, "remove the DNAME or this name", "%q is below the DNAME of %s", b.Name, c.quoted(dname))
		return
	}
	for typ, at := range c.types(id) {
		c.errorf(at, "remove the DNAME or this", "%s of %s is below the DNAME of %s", typeName(typ), c.quoted(id), c.quoted(dname))
	}
}

// warnOccluded warns of data at and below a cut that does not belong to the delegation, because the child's server
// answers there.
func (c *compiler) warnOccluded(id NodeID) {
	n := &c.s.nodes[id]
	for typ, at := range c.types(id) {
		switch typ {
		case dns.TypeA, dns.TypeAAAA, dns.TypeRRSIG, dns.TypeNSEC:
			continue
		case dns.TypeNS, dns.TypeDS:
			if n.flags.has(isCut) && n.cover == id {
				continue
			}
		}
		c.warnf(at, "", "%s of %s is never answered: it is at or below the delegation of %s", typeName(typ), c.quoted(id), c.quoted(n.cover))
	}
}

// checkApex checks that a zone has SOA and NS, and that its nameservers have addresses.
func (c *compiler) checkApex(z ZoneID) {
	apex, zone := c.s.zones[z].apex, &c.cfg.Zones[z]
	_, _, soa := c.setOf(apex, dns.TypeSOA)
	_, _, ns := c.setOf(apex, dns.TypeNS)
	var lacks []string
	if !soa {
		lacks = append(lacks, "SOA")
	}
	if !ns {
		lacks = append(lacks, "NS")
	}
	if len(lacks) > 0 {
		c.zoneErrorf(zone, c.apexHint(zone), "the zone has no %s", strings.Join(lacks, " and no "))
	}
	if ns {
		c.checkNameservers(apex)
	}
}

func (c *compiler) apexHint(zone *config.Zone) string {
	if zone.File == "" {
		return "write nameservers and contact, or a file that has them"
	}
	return "write nameservers and contact, or put them into the file"
}

// checkNameservers checks that each nameserver of a node within its own zone has an address. A zone without any
// address for its own nameservers is unreachable, which is an error. A delegation without glue affects only the names
// below it, and is a warning.
func (c *compiler) checkNameservers(id NodeID) {
	n := &c.s.nodes[id]
	set, _, _ := c.setOf(id, dns.TypeNS)
	if c.hasErrors[n.zone] {
		return
	}
	for target := range c.targets(set) {
		if !c.within(target, n.zone) {
			continue
		}
		if lack := c.missingAddress(id, target); lack != "" {
			report := c.warnf
			if n.flags.has(isApex) && !c.copied(n.zone) {
				report = c.errorf
			}
			report(c.nsAt(id, target), "a nameserver within the zone needs an A or AAAA record", "nameserver %q of %s %s",
				target, c.quoted(id), lack)
		}
	}
}

// targets yields the targets of NS or CNAME records, in lower case.
func (c *compiler) targets(set rrset) func(yield func(dnsname.Wire) bool) {
	return func(yield func(dnsname.Wire) bool) {
		for rdata := range c.s.rrset(&set).rdata {
			if !yield(dnsname.Wire(rdata).Folded()) {
				return
			}
		}
	}
}

// nsAt returns the position of the NS record with the given target. It searches, because only errors need it.
func (c *compiler) nsAt(id NodeID, target dnsname.Wire) place {
	var at place
	for _, r := range c.records {
		if r.node == id && r.typ == dns.TypeNS && bytes.EqualFold(c.rdataOf(r), target) {
			at = r.at
		}
	}
	return at
}

// missingAddress explains why a nameserver of node id, in the same zone, has no address.
func (c *compiler) missingAddress(id NodeID, target dnsname.Wire) string {
	m := c.s.Lookup(target, dns.TypeA)
	switch m.Kind {
	case Referral:
		// Only the delegation itself, or the apex, needs glue. Any other cut has its own nameservers, which have the
		// address.
		if m.Node == id || c.s.nodes[id].flags.has(isApex) {
			return c.missingAddressAt(c.s.find(target), "has no glue")
		}
		return ""
	case Exact, Wildcard:
		return c.missingAddressAt(m.Node, "has no address")
	case DName:
		return "is below a DNAME"
	}
	return "does not exist"
}

func (c *compiler) missingAddressAt(id NodeID, lack string) string {
	n := &c.s.nodes[id]
	switch {
	case c.s.GivesCName(id):
		return "is an alias, or may be (RFC 2181 10.3)"
	case n.flags.has(isBalanced):
		return ""
	}
	for typ := range c.types(id) {
		switch typ {
		case dns.TypeA, dns.TypeAAAA:
			return ""
		case dns.TypeCNAME:
			return "is an alias (RFC 2181 10.3)"
		}
	}
	return lack
}

// balancedName returns the configuration of a balanced node. It searches, because only errors need it.
func (c *compiler) balancedName(id NodeID) *config.BalancedName {
	names := c.cfg.Zones[c.s.nodes[id].zone].Names
	for i := range names {
		if c.s.find(names[i].Name.Wire()) == id {
			return &names[i]
		}
	}
	panic("zones: a balanced node that no name made")
}

// entryOf returns the entry of a balanced node under names, or one with the position of a name with whoami.
func (c *compiler) entryOf(id NodeID) *config.BalancedName {
	if !c.s.nodes[id].flags.has(isWhoami) {
		return c.balancedName(id)
	}
	names := c.cfg.Zones[c.s.nodes[id].zone].Whoami
	i := slices.IndexFunc(names, func(n config.WhoamiName) bool { return c.s.find(n.Name.Wire()) == id })
	return &config.BalancedName{Name: names[i].Name, Pos: names[i].Pos}
}

// quoted returns a node's name in quotes.
func (c *compiler) quoted(id NodeID) string {
	return `"` + c.s.NodeName(id).String() + `"`
}
