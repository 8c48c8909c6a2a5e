package pools

import (
	"math/bits"
	"net/netip"
)

// fastDecide is the fast path of decide: it decides the plain case of the most common policies
// at little more than half the cost. It returns false, and leaves the request to decide, unless
//
//	the pool           is plain, see setSoleAddresses
//	the request        asks for one answer
//	the pool           is live, no member is in slow start or sheds, and its nearest region, if it ranks them, has an eligible one
//	the drawn member   has the family
//
// It returns the same as decide.
func (s *Scratch) fastDecide(q Request) (d Decision, ok bool) {
	t, st := s.tree, s.state
	p := &t.pools[q.Pool]
	if p.singles == none || q.Answers != 1 {
		return Decision{}, false
	}
	if len(st.slow) > 0 && len(st.slowMembers(p)) > 0 {
		return Decision{}, false
	}
	eligible := st.word(p.eligible(q.Family, byVerdict))
	if bits.OnesCount64(eligible) < st.need(q.Pool) {
		return Decision{}, false
	}
	if p.table != none {
		var region uint16
		region, d.Scope = t.geoTables[p.table].Nearest(q.Client)
		eligible &= t.groups[p.groups+uint32(region)]
	}
	if eligible == 0 {
		return Decision{}, false
	}
	m := bits.TrailingZeros64(eligible)
	if p.policy != failover {
		s.words[0] = eligible
		m = t.drawn(p, s.words[:1], seed(mix(q.Draw)).draw(0))
	}
	if st.word(p.giving(q.Family, byVerdict))>>(uint(m)&63)&1 == 0 {
		return Decision{}, false
	}
	s.Addrs = append(s.Addrs, t.soleAddresses[p.singles+uint32(m)].of(q.Family))
	s.Given = append(s.Given, MemberID(p.first+uint32(m)))
	return d, true
}

// soleAddresses is the address of each family of a member with at most one. They are stored
// beside those of the pool's other members, because cache misses dominate the cost of a
// decision: otherwise three dependent reads follow each other, of member, ref
// and address.
type soleAddresses struct {
	v6 [16]byte
	v4 [4]byte
}

func (s *soleAddresses) of(f Family) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4(s.v4)
	}
	return netip.AddrFrom16(s.v6)
}

// setSoleAddresses enables fastDecide for p if all its members, compiled before, are plain, see isPlain.
func (c *compiler) setSoleAddresses(p *pool) {
	if p.singles = none; !c.tree.isPlain(p) {
		return
	}
	p.singles = uint32(len(c.tree.soleAddresses))
	members := c.tree.members[p.first:][:p.members]
	for i := range members {
		c.tree.soleAddresses = append(c.tree.soleAddresses, c.soleAddresses(&members[i]))
	}
}

// isPlain reports whether fastDecide may handle a pool:
//
//	policy    proximity, latency, weighted that is not sticky, failover without a trickle
//	members   at most 64, all endpoints, with at most one address a family and no cname
func (t *Tree) isPlain(p *pool) bool {
	if !p.ranks() && p.policy != weighted && (p.policy != failover || p.trickle > 0) || p.words > 1 {
		return false
	}
	members := t.members[p.first:][:p.members]
	for i := range members {
		if m := &members[i]; m.child != none || m.n4 > 1 || m.n6 > 1 || t.isCName(m) {
			return false
		}
	}
	return true
}

// soleAddresses returns the addresses of an endpoint. A missing address is zero, and never read.
func (c *compiler) soleAddresses(m *member) (made soleAddresses) {
	if m.n4 > 0 {
		made.v4 = c.v4.all[c.tree.addrs(m, IPv4)[0].addr]
	}
	if m.n6 > 0 {
		made.v6 = c.v6.all[c.tree.addrs(m, IPv6)[0].addr]
	}
	return made
}
