package pools

import "math"

// visit is one pool being walked for one question.
type visit struct {
	*pool
	id    ID
	plane plane
	seed  seed

	eligible set // members that may still be drawn
	giving   set // those of them, drawn or not, that can give the family and have not yet
	spare    set // for what is worked out on the way

	rounds uint32 // round-robin: what is left of the turn, see inTurn

	step   int    // recording: which step is that of the pool's first member
	nearer string // recording, proximity: the regions that are nearer than the chosen one
}

// Decide is the one pure decision function (DESIGN 1): it neither locks, nor
// allocates, nor calls out. An empty s.Addrs is NODATA. Beside the question and
// the verdicts it depends on nothing but, for round-robin, the turns in s.
func (t *Tree) Decide(q Question, s *Scratch) Decision {
	if s.tree != t {
		panic("pools: a scratch of another tree")
	}
	s.family, s.client = q.Family, q.Client
	s.scope, s.top = 0, 0
	s.picked, s.Addrs = s.picked[:0], s.Addrs[:0]
	mode := s.answer(q)
	for _, number := range s.picked {
		s.Addrs = append(s.Addrs, t.addr(q.Family, number))
	}
	return Decision{Mode: mode, Scope: s.scope}
}

// answer asks the pool of the question, or who stands in for it (DESIGN 5.2):
//
//	pool is live  fallback is live  fail_open  a member has weight   answered by
//	yes           -                 -          -                     the pool
//	no            yes               -          -                     its fallback
//	no            no or none        yes        yes                   the pool, as if all were up
//	no            no or none        yes        no                    nobody
//	no            no or none        no         -                     nobody
//
// A fallback's own fallback is not asked. modeOf has the same table for those
// who only want to know.
func (s *Scratch) answer(q Question) Mode {
	p := &s.tree.pools[q.Pool]
	first := seed(mix(q.Draw))
	if s.walk(q.Pool, asIs, q.Answers, first) {
		return Normal
	}
	if p.fallback != none && s.walk(ID(p.fallback), asIs, q.Answers, first) {
		return FallenBack
	}
	if p.failOpen {
		s.record.forget(q.Pool)
		if s.walk(q.Pool, open, q.Answers, first) {
			return FailedOpen
		}
	}
	return Dead
}

// walk draws up to answers members of a pool, 0 for all, into s.picked, and
// reports whether the pool is live; one that is not gives nothing.
func (s *Scratch) walk(id ID, pl plane, answers int, sd seed) bool {
	v := visit{pool: &s.tree.pools[id], id: id, plane: pl, seed: sd}
	bottom := s.top
	s.load(&v)
	s.record.enter(s, &v)
	live := v.isLive(v.eligible.count())
	if live {
		s.narrow(&v)
		s.pick(&v, answers)
	}
	s.top = bottom
	return live
}

// load copies the pool's bits. All that follows goes by the copy.
func (s *Scratch) load(v *visit) {
	v.eligible, v.giving, v.spare = s.take(v.words), s.take(v.words), s.take(v.words)
	eligible := s.tree.state[v.pool.eligible(s.family, v.plane):][:v.words]
	giving := s.tree.state[v.pool.giving(s.family, v.plane):][:v.words]
	for i := range v.eligible {
		v.eligible[i] = eligible[i].Load()
		v.giving[i] = v.eligible[i] & giving[i].Load()
	}
}

// isLive reports whether n eligible members are enough. Failing open asks for
// no more than one.
func (v *visit) isLive(n int) bool {
	return n >= int(v.need) || v.plane == open && n > 0
}

// pick draws members without replacement. Every draw is among all eligible
// members, whichever families they have, so that it falls on one region for A
// and AAAA alike; give then finds the family in that region.
func (s *Scratch) pick(v *visit, answers int) {
	all := answers == 0
	left := answers
	if all {
		left = math.MaxInt
	}
	m := 0
	for n := 0; left > 0 && v.eligible.any(); n++ {
		r := v.seed.draw(n)
		if n == 0 || v.policy.redraws() && !all {
			m = s.choose(v, v.eligible, r)
			s.record.choice(s, v, v.eligible, m)
		} else {
			m = v.eligible.after(m)
			s.record.follows(v, m)
		}
		v.eligible.remove(m)
		left -= s.give(v, m, r, left)
	}
}

// give adds the addresses of the drawn member m to the answer and tells how many
// of the answers left it uses up:
//
//	m has the family  another of its group has  m is       given               used up
//	yes               -                         endpoint   its up addresses    one each
//	yes               -                         pool       what the pool draws 1, whatever comes of it
//	no                yes                       -          the other one, likewise
//	no                no                        -          nothing: NODATA     1
//
// Members given already do not count as having it.
func (s *Scratch) give(v *visit, m int, r uint64, left int) int {
	if !v.giving.has(m) {
		other, ok := s.standIn(v, m, r)
		s.record.lacks(v, m, ok)
		if !ok {
			return 1
		}
		s.record.choice(s, v, v.spare, other)
		m = other
	}
	v.giving.remove(m)
	s.record.chosen(v, m)
	mem := &s.tree.members[v.first+uint32(m)]
	if mem.child == none {
		return max(1, s.addresses(mem, v.plane, r, left))
	}
	answers := int(s.tree.pools[mem.child].answers)
	if !s.walk(ID(mem.child), v.plane, answers, seed(mix(r+golden))) {
		// Rare: its last member went down and Apply has not told this pool yet.
		s.record.unchosen(v, m)
		return 0
	}
	return 1
}

// standIn is the policy's choice among those of m's group that can still give the family.
func (s *Scratch) standIn(v *visit, m int, r uint64) (other int, ok bool) {
	t := s.tree
	copy(v.spare, v.giving)
	v.spare.keep(t.group(v.pool, t.members[v.first+uint32(m)].group))
	if !v.spare.any() {
		return 0, false
	}
	return s.choose(v, v.spare, mix(^r)), true
}

// addresses adds up to left addresses of an endpoint, those that are up, in
// random order, and tells how many it added. An address that the answer has
// already, by way of another member, is not repeated.
func (s *Scratch) addresses(m *member, pl plane, r uint64, left int) int {
	refs := s.tree.addrs(m, s.family)
	if len(refs) == 1 { // the common case; m would not be eligible were it down
		return s.add(refs[0])
	}
	from, up := len(s.picked), false
	for _, ref := range refs {
		if pl == open || s.tree.isUp(ref) {
			up = true
			s.add(ref)
		}
	}
	if !up { // rare: the last one went down this very moment
		s.add(refs[0])
	}
	added := s.picked[from:]
	n := min(left, len(added))
	for i := range n { // Fisher-Yates, as far as needed
		j := i + int(below(seed(r).draw(i), uint64(len(added)-i)))
		added[i], added[j] = added[j], added[i]
	}
	s.picked = s.picked[:from+n]
	return n
}

// add adds an address to the answer unless it is there, and tells how many it added.
func (s *Scratch) add(r ref) int {
	for _, number := range s.picked {
		if number == r.addr {
			return 0
		}
	}
	s.picked = append(s.picked, r.addr)
	return 1
}
