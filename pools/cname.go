package pools

import "meridian/config"

// aliasBit marks, in a ref's addr and in Scratch.picked, what is no address but an
// alias: the rest is its number in Tree.cnames.
//
// A member with a cname is so an endpoint with one such "address" of each family,
// without a check: eligible for both, and drawn like any other.
const aliasBit = 1 << 31

// cname compiles a member that is an alias.
func (c *compiler) cname(m *config.Member, to *member) {
	t := c.tree
	number := uint32(len(t.cnames))
	t.cnames = append(t.cnames, m.CName.Wire())
	alias := addrRef{addr: number | aliasBit, target: none}
	t.refs = append(t.refs, alias, alias)
	to.n4, to.n6 = 1, 1
}

// isCName reports whether a member is an alias.
func (t *Tree) isCName(m *member) bool { return m.n4 > 0 && t.refs[m.first].addr&aliasBit != 0 }

// answer turns what was picked into the answer. A CNAME stands alone (RFC 2181
// 10.1), so the first member drawn decides:
//
//	drawn first  drawn later  answered
//	an alias     anything     the alias alone
//	addresses    aliases      the addresses alone
func (s *Scratch) answer() {
	for i, number := range s.picked {
		switch {
		case number&aliasBit == 0:
			s.Addrs = append(s.Addrs, s.tree.addr(s.family, number))
		case i == 0:
			s.CName = s.tree.cnames[number&^aliasBit]
			return
		}
	}
}

// recordAlias tells those that were drawn and are not in the answer after all, since
// an alias stands alone: see answer.
func (r *recorder) recordAlias(s *Scratch) {
	if len(s.picked) == 0 {
		return
	}
	alone := s.picked[0]&aliasBit != 0
	for i := range r.steps {
		step := &r.steps[i]
		m := &r.tree.members[r.tree.pools[step.is.pool].first+step.is.member]
		switch {
		case !step.Chosen || step.of != r.family || m.child != none:
		case alone && (!r.tree.isCName(m) || r.tree.refs[m.first].addr != s.picked[0]):
			step.Chosen, step.Reason = false, "drawn after a CNAME, which stands alone"
		case !alone && r.tree.isCName(m):
			step.Chosen, step.Reason = false, "drawn after addresses, beside which no CNAME may stand"
		}
	}
}
