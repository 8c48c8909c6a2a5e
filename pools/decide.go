package pools

import (
	"math"

	"meridian/pools/internal/bitset"
)

// frame is one pool being walked for one request.
type frame struct {
	*pool
	id    ID
	basis basis
	seed  seed

	eligible         bitset.Set // members that may still be drawn
	canGive          bitset.Set // the eligible members, drawn or not, that can give the family and have not yet
	scratchSet       bitset.Set // for intermediate results
	remainingRegions bitset.Set // spread: the members of regions without a member in the answer; empty: all

	passed bitset.Set // the nested pools without an answer for this client; only if the pool depends on the client
	opened bool       // geolocation: the client's match fails open

	slow []fraction // the members in slow start; none when failing open

	rounds uint32 // round-robin: what is left of the turn, see inTurn

	byNetwork bool // geolocation: the client's network chooses among the remaining members, see narrowToMatch

	*frameNotes // nil in a decision that is only served
}

// frameNotes holds what an explanation, or the probabilities of an answer, keep of a
// frame. It is apart from the frame, which each decision clears.
type frameNotes struct {
	step   int    // of the pool's first member
	nearer string // proximity: the regions that are nearer than the chosen one
	match  string // geolocation: what the client matched by
	wanted int    // how many members are drawn; 0: all
	lost   string // proximity: the client's region is lost, and how that led to the chosen one
}

// Decide is the one pure decision function: it does not lock, allocate, call out, or
// read a clock. If both s.Addrs and s.CName are empty the answer is NODATA. Beside the
// request and one consistent state of the members, it depends only on the turns
// in s, for round-robin.
func (t *Tree) Decide(q Request, s *Scratch) Decision {
	s.begin(t)
	if q.Both {
		return s.dualStack(q)
	}
	if !s.Widen {
		if d, ok := s.fastDecide(q); ok {
			return d
		}
	}
	return s.decide(q)
}

// begin loads the state that the whole decision uses.
func (s *Scratch) begin(t *Tree) {
	if s.tree != t {
		panic("pools: a scratch of another tree")
	}
	s.state, s.CName, s.Addrs, s.Given = t.state.Load(), nil, s.Addrs[:0], s.Given[:0]
}

func (s *Scratch) decide(q Request) Decision {
	s.family, s.turnCounter, s.client, s.draw = q.Family, turnCounterOf(q), q.Client, q.Draw
	s.scope, s.top, s.opened = 0, 0, false
	s.picked = s.picked[:0]
	s.record.decides(q.Family)
	mode, by, pl := s.source(q.Pool)
	s.record.asks(s, q.Pool, mode, by, pl)
	if mode != Dead {
		s.walk(by, pl, q.Answers, seed(mix(q.Draw)))
	}
	s.record.asked(s, q.Pool, mode)
	s.answer()
	return Decision{Mode: s.modeOf(mode), Scope: s.scope}
}

// walk draws up to answers members of a live pool, 0 for all, into s.picked.
func (s *Scratch) walk(id ID, pl basis, answers int, sd seed) {
	v := frame{pool: &s.tree.pools[id], id: id, basis: pl, seed: sd}
	bottom := s.top
	s.load(&v)
	s.record.enter(s, &v)
	s.limit(&v, answers)
	s.record.candidates(s, &v, answers)
	s.pick(&v, answers)
	s.top = bottom
}

// inspect records a pool without drawing from it.
func (s *Scratch) inspect(id ID) {
	v := frame{pool: &s.tree.pools[id], id: id, basis: byVerdict}
	bottom := s.top
	s.load(&v)
	s.record.enter(s, &v)
	s.top = bottom
}

// load copies the pool's sets, because drawing removes members from them.
func (s *Scratch) load(v *frame) {
	n := int(v.words)
	sets := s.take(3 * v.words)
	v.eligible, v.canGive, v.scratchSet = sets[:n:n], sets[n:2*n:2*n], sets[2*n:]
	eligible, giving := v.pool.eligible(s.family, v.basis), v.pool.giving(s.family, v.basis)
	for i := range v.words {
		v.eligible[i] = s.state.word(eligible + i)
		v.canGive[i] = s.state.word(giving + i)
		if s.Widen && s.recordType == 0 {
			v.eligible[i] &= v.canGive[i]
		}
	}
	if s.recordType != 0 {
		s.loadRecords(v)
	}
	if len(s.state.slow) > 0 && v.basis == byVerdict {
		v.slow = s.state.slowMembers(v.pool)
	}
	if v.spread {
		v.remainingRegions = s.take(v.words)
		clear(v.remainingRegions)
	}
	if v.depends {
		v.passed = s.take(v.words)
		clear(v.passed)
	}
}

// limit leaves in v.eligible the members that may be drawn for this client: those
// that slow start admits and that the policy selects from. It passes over nested
// pools that have no answer for the client.
func (s *Scratch) limit(v *frame, answers int) {
	if v.depends {
		s.limitDependent(v, answers)
		return
	}
	if !v.eligible.Any() && v.policy != geolocation {
		s.record.passedAll(v)
		return
	}
	if len(v.slow) > 0 {
		s.admit(v)
	}
	s.narrow(v)
}

// limitDependent is limit for a pool of which members may have no answer for the client.
func (s *Scratch) limitDependent(v *frame, answers int) {
	if !v.narrows() || len(v.slow) > 0 || v.scores != none {
		s.passOver(v, answers) // before the steps that depend on the set of members
	}
	for v.eligible.Any() || v.policy == geolocation {
		if len(v.slow) > 0 {
			s.admit(v)
		}
		s.narrow(v)
		if !v.narrows() || !s.passOver(v, 0) {
			return
		}
		s.reload(v)
	}
	s.record.passedAll(v)
}

// pick draws members without replacement. Every draw is among all eligible
// members of either family, so A and AAAA draw the same
// region; answerMember then finds the family in that region.
func (s *Scratch) pick(v *frame, answers int) {
	all := answers == 0
	left := answers
	if all {
		left = math.MaxInt
	}
	m := 0
	for n := 0; left > 0 && v.eligible.Any(); n++ {
		r, from := v.seed.draw(n), v.drawable()
		if n == 0 || v.redraws(all) {
			m = s.choose(v, from, r)
			s.record.choice(s, v, from, m)
		} else {
			m = from.After(m)
			s.record.follows(v, m)
		}
		v.eligible.Remove(m)
		s.passRegion(v, m)
		left -= s.answerMember(v, m, r, left)
	}
}

// answerMember adds the addresses of the drawn member m to the answer and returns how many
// of the answers left it uses up:
//
//	m has the family  another of its group has  m is       given               used up
//	yes               -                         endpoint   its up addresses    one each
//	yes               -                         pool       what the pool draws 1, even if that is nothing
//	no                yes                       -          the other one, in the same way
//	no                no                        -          nothing: NODATA     1
//
// Members already given do not count as having the family.
func (s *Scratch) answerMember(v *frame, m int, r uint64, left int) int {
	if !v.canGive.Has(m) {
		other, ok := s.familySubstitute(v, m, r)
		s.record.substitute(s, v, m, other, ok)
		if !ok {
			return 1
		}
		m = other
	}
	v.canGive.Remove(m)
	s.record.chosen(v, m)
	id := v.first + uint32(m)
	mem := &s.tree.members[id]
	if mem.child == none {
		picked := len(s.picked)
		var added int
		if s.recordType != 0 {
			added = s.addMember(v, m)
		} else {
			added = s.addresses(v, m, r, left)
		}
		if added > 0 && s.keepsPicked(picked) {
			s.Given = append(s.Given, MemberID(id))
		}
		return max(1, added)
	}
	given := len(s.Given)
	s.walk(ID(mem.child), s.basisOf(v, m), int(s.tree.pools[mem.child].answers), seed(mix(r+golden)))
	if len(s.Given) > given {
		s.Given = append(s.Given, MemberID(id))
	}
	return 1
}

// familySubstitute returns the policy's choice among the members of m's group that can still give the family.
func (s *Scratch) familySubstitute(v *frame, m int, r uint64) (other int, ok bool) {
	if s.familySubstitutes(v, m); !v.scratchSet.Any() {
		return 0, false
	}
	return s.choose(v, v.scratchSet, mix(^r)), true
}

// familySubstitutes leaves in v.scratchSet the members of m's group that can still give the family.
func (s *Scratch) familySubstitutes(v *frame, m int) {
	copy(v.scratchSet, v.canGive)
	v.scratchSet.Keep(s.tree.group(v.pool, s.tree.members[v.first+uint32(m)].group))
}

// countsAsUp reports whether all addresses of m are answered, up or not.
func (s *Scratch) countsAsUp(v *frame, m int) bool {
	member := v.first + uint32(m)
	return v.basis == failOpen || s.state.kind(member) == ForcedUp || s.state.isDeferred(member, s.family) && s.state.noneUp(member, s.family)
}

// noneUp reports whether no address of a family of an endpoint is up.
func (st *state) noneUp(member uint32, f Family) bool {
	for _, r := range st.tree.addrs(&st.tree.members[member], f) {
		if st.isUp(r) {
			return false
		}
	}
	return true
}

// basisOf returns the basis for the nested pool m: failOpen if m is treated as up without an
// eligible member.
func (s *Scratch) basisOf(v *frame, m int) basis {
	if len(s.tree.ejections.pools) == 0 { // fast path, small enough to be inlined
		return v.basis
	}
	return s.basisOfEjected(v, m)
}

func (s *Scratch) basisOfEjected(v *frame, m int) basis {
	child := ID(s.tree.members[v.first+uint32(m)].child)
	if v.basis == byVerdict && s.state.isDeferred(v.first+uint32(m), s.family) && s.state.countEligible(child, s.family, byVerdict) == 0 {
		return failOpen
	}
	return v.basis
}

// addresses adds up to left addresses of the endpoint m in random order and returns how many
// it added: those that are up, or all if the endpoint counts as up. An address
// that is in the answer already, from another member, is not repeated.
func (s *Scratch) addresses(v *frame, m int, r uint64, left int) int {
	refs := s.tree.addrs(&s.tree.members[v.first+uint32(m)], s.family)
	if len(refs) == 1 { // the common case; m is eligible, so it is up
		return s.add(refs[0])
	}
	counted := s.countsAsUp(v, m)
	from := len(s.picked)
	noneAdmitted := true
	for _, ref := range refs {
		if counted || s.state.isUp(ref) && s.state.addressAdmitted(ref, r) {
			s.add(ref)
			noneAdmitted = false
		}
	}
	for i := 0; noneAdmitted && i < len(refs); i++ { // all that are up are in slow start, and this draw admits none
		if s.state.isUp(refs[i]) {
			s.add(refs[i])
		}
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

// add adds an address to the answer unless it is there, and returns how many it added.
func (s *Scratch) add(r addrRef) int {
	for _, number := range s.picked {
		if number == r.addr {
			return 0
		}
	}
	s.picked = append(s.picked, r.addr)
	return 1
}
