package pools

import "meridian/config"

// aliasBit marks an alias in a ref's addr and in Scratch.picked; the other bits
// are its number in Tree.cnames.
//
// A member with a cname is thus an endpoint with one such "address" of each family
// and no check: eligible for both families, and drawn like any other.
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

// isCName reports whether a member is an alias, or has records alone.
func (t *Tree) isCName(m *member) bool { return m.n4 > 0 && t.refs[m.first].addr&aliasBit != 0 }

// answer converts the picked members into the answer. A CNAME must be alone (RFC 2181
// 10.1), so the first member drawn decides:
//
//	drawn first  drawn later  answered
//	an alias     anything     only the alias
//	addresses    aliases      only the addresses
func (s *Scratch) answer() {
	if s.recordType != 0 {
		s.answerRecords()
		return
	}
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

// keepsPicked reports whether answer keeps what a member added to s.picked at from: a CNAME must be alone.
func (s *Scratch) keepsPicked(from int) bool {
	return from == 0 || s.picked[0]&aliasBit == 0 && s.picked[from]&aliasBit == 0
}

// recordAlias records the members that were drawn but are not in the answer because
// a CNAME must be alone: see answer.
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
			step.Chosen, step.Reason = false, "drawn after a CNAME, which must be alone"
		case !alone && r.tree.isCName(m):
			step.Chosen, step.Reason = false, "drawn after addresses; a CNAME must be alone"
		}
	}
}
