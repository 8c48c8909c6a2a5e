package pools

import "math/bits"

// direct is a fast path of decide: the plain case of the most common policy, at
// little more than half the cost. It reports false, and leaves all to decide, unless
//
//	the pool      is of proximity or latency, of at most 64 members, all endpoints with one address a family at most and no cname
//	the question  asks for one answer
//	the pool      is live, no member starts slowly, and its nearest region has an eligible one
//	that drawn    has the family
//
// What it does decide, decide would decide alike: it is what remains of it.
func (s *Scratch) direct(q Question) (d Decision, ok bool) {
	t, st := s.tree, s.state
	p := &t.pools[q.Pool]
	if !p.direct || q.Answers != 1 {
		return Decision{}, false
	}
	if len(st.slow) > 0 && len(st.slowIn(p)) > 0 {
		return Decision{}, false
	}
	eligible := st.word(p.eligible(q.Family, asIs))
	if bits.OnesCount64(eligible) < st.need(q.Pool) {
		return Decision{}, false
	}
	if p.table != none {
		var region uint16
		region, d.Scope = t.tables[p.table].Nearest(q.Client)
		eligible &= t.groups[p.groups+uint32(region)]
	}
	if eligible == 0 {
		return Decision{}, false
	}
	s.words[0] = eligible
	v := visit{pool: p, id: q.Pool} // byWeight reads no more of a visit: its weights, and who of it starts slowly
	m := s.byWeight(&v, s.words[:1], seed(mix(q.Draw)).draw(0))
	if st.word(p.giving(q.Family, asIs))>>(uint(m)&63)&1 == 0 {
		return Decision{}, false
	}
	number := t.addrs(&t.members[p.first+uint32(m)], q.Family)[0].addr
	s.Addrs = append(s.Addrs, t.addr(q.Family, number))
	return d, true
}

// setDirect notes whether direct may decide for p, whose members are all compiled.
func (c *compiler) setDirect(p *pool) {
	p.direct = p.ranks() && p.words == 1
	for _, m := range c.tree.members[p.first:] {
		if m.child != none || m.n4 > 1 || m.n6 > 1 || c.tree.isCName(&m) {
			p.direct = false
		}
	}
}
