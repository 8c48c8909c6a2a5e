package pools

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
)

// Probability is the part of the answers to one request that return an address.
type Probability struct {
	Pool, Member string     // the endpoint; empty for NODATA
	Region       string     // its region, or that of the nearest pool around it that has one
	Addr         netip.Addr // invalid for a cname, and for the records of a member
	CName        string     // of members with a cname
	P            float64    // 0 to 1
}

// Probabilities is Decide without the draw: for every address the exact probability that
// the first draw returns it, as if `answers` were 1 everywhere; the Probability
// without a member is that of NODATA. The sum is 1. The turns of
// round-robin, which s keeps, and the time under sticky: ttl count as random; if more than eight
// members are in slow start in one place, the others count as fully started. It uses the same sets,
// tables and probabilities as Decide, so that a forecast matches the answers.
func (t *Tree) Probabilities(q Request, s *Scratch) (Decision, []Probability) {
	s.begin(t)
	d, o := s.distribution(q)
	return d, o.shares
}

// Nested is a member that is a pool, and the probability that the draws lead into it.
type Nested struct {
	Pool, Member string
	P            float64 // 0 to 1
}

// NestedProbabilities is Probabilities, and the part of it that goes through each nested pool: a
// pool that is nested in several places has its part of each. Of a pool without any address they are the probabilities
// of the members that an answer with their records has.
func (t *Tree) NestedProbabilities(q Request, s *Scratch) (Decision, []Probability, []Nested) {
	s.begin(t)
	s.recordType = t.onlyType(q.Pool)
	d, o := s.distribution(q)
	s.recordType = 0
	var nested []Nested
	for u, p := range o.reached {
		if t.members[t.pools[u.pool].first+u.member].child != none {
			pool := &t.cfg.Pools[u.pool]
			nested = append(nested, Nested{pool.Name, pool.Members[u.member].Name, p})
		}
	}
	return d, o.shares, nested
}

// distribution computes Probabilities for the state that s has.
func (s *Scratch) distribution(q Request) (Decision, *distribution) {
	return s.compute(q, newDistribution(s))
}

// answerDistribution computes the distribution of the whole answer: for each member the
// probability that the answer contains it. It has no shares.
func (s *Scratch) answerDistribution(q Request) *distribution {
	o := newDistribution(s)
	o.full, o.answers, o.left = true, q.Answers, drawBudget
	s.compute(q, o)
	return o
}

// compute divides all parts, those first that nothing can be added to any more.
func (s *Scratch) compute(q Request, o *distribution) (Decision, *distribution) {
	s.family, s.client = q.Family, q.Client
	s.scope, s.top, s.opened = 0, 0, false
	mode, by, pl := s.source(q.Pool)
	if mode == Dead {
		o.addNoAnswer(1)
	} else {
		o.waiting[part{by, pl, ""}] = 1
	}
	for len(o.waiting) > 0 {
		next := o.highest()
		p := o.waiting[next]
		if o.full {
			p = min(p, 1)
		}
		delete(o.waiting, next)
		o.region = next.region
		o.walk(next.pool, next.basis, p)
	}
	return Decision{Mode: s.modeOf(mode), Scope: s.scope}, o
}

// highest returns a part that no other can add to any more: of the waiting pools, one
// with the most levels below.
func (o *distribution) highest() (found part) {
	pools, first := o.scratch.tree.pools, true
	for next := range o.waiting {
		if first || cmp.Or(
			cmp.Compare(pools[next.pool].height, pools[found.pool].height),
			cmp.Compare(found.pool, next.pool), cmp.Compare(found.region, next.region)) > 0 {
			found, first = next, false
		}
	}
	return found
}

// part is a pool with a probability still to be divided: one part for all paths that
// lead to it, because there may be millions.
type part struct {
	pool   ID
	basis  basis
	region string // the region that it is in
}

// distribution collects the probabilities of a request.
type distribution struct {
	scratch *Scratch
	shares  []Probability
	at      map[source]int        // in shares
	reached map[memberRef]float64 // the probability that each member is drawn, including nested pools
	waiting map[part]float64
	region  string // of the member being walked, see Probability.Region

	full    bool // of the whole answer, not of the first draw
	left    int  // if full: what remains of drawBudget, for all pools together
	answers int  // if full: the number of answers of the pool that answers
	nested  bool // if full: that pool has been walked
}

func newDistribution(s *Scratch) *distribution {
	return &distribution{scratch: s, at: map[source]int{}, reached: map[memberRef]float64{}, waiting: map[part]float64{}}
}

// source is where an address comes from: a pool can be nested in several places.
type source struct {
	memberRef
	addr   uint32
	region string
}

// walk divides p among the members of a live pool.
func (o *distribution) walk(id ID, pl basis, p float64) {
	s := o.scratch
	v := frame{pool: &s.tree.pools[id], id: id, basis: pl, frameNotes: &frameNotes{wanted: int(s.tree.pools[id].answers)}}
	if o.full && !o.nested {
		v.wanted, o.nested = o.answers, true
	}
	bottom := s.top
	s.load(&v)
	switch {
	case v.policy == roundRobin || v.policy == all: // takes no turns
		if v.depends {
			s.passOver(&v, v.wanted)
		}
		o.overAdmissions(&v, p)
	default:
		s.limit(&v, v.wanted)
		o.overPolicy(&v, p)
	}
	s.top = bottom
}

// overAdmissions divides p by which members in slow start a draw admits.
func (o *distribution) overAdmissions(v *frame, p float64) {
	eligible, giving := slices.Clone(v.eligible), slices.Clone(v.canGive)
	slow := slices.DeleteFunc(slices.Clone(v.slow), func(s fraction) bool { return !eligible.Has(int(s.of - v.first)) })
	parts := make([]uint64, len(slow))
	for i := range slow {
		parts[i] = uint64(slow[i].part)
	}
	for left, chance := range admissions(parts) {
		copy(v.eligible, eligible)
		copy(v.canGive, giving)
		copy(v.scratchSet, eligible)
		for i := range slow {
			if left>>i&1 != 0 {
				v.scratchSet.Remove(int(slow[i].of - v.first))
			}
		}
		if v.scratchSet.Any() {
			v.narrowTo(v.scratchSet)
		}
		o.overPolicy(v, p*chance)
	}
}

// mostSlow is how many members in slow start are distinguished: the combinations double with each.
const mostSlow = 8

// admissions yields the combinations of members with these parts that are admitted, and the
// probability of each: a bit is set for each member left out. Members beyond mostSlow are always admitted.
func admissions(parts []uint64) iter.Seq2[uint, float64] {
	parts = parts[:min(len(parts), mostSlow)]
	return func(yield func(left uint, chance float64) bool) {
		for left := range uint(1) << len(parts) {
			chance := 1.0
			for i, part := range parts {
				in := float64(part) / full
				if left>>i&1 != 0 {
					in = 1 - in
				}
				chance *= in
			}
			if chance > 0 && !yield(left, chance) {
				return
			}
		}
	}
}

// overPolicy divides p among the members that the policy has left.
func (o *distribution) overPolicy(v *frame, p float64) {
	if !v.eligible.Any() {
		o.addNoAnswer(p)
		return
	}
	if o.full {
		o.draws(v, p)
		return
	}
	o.scratch.chances(v, v.eligible, func(m int, chance float64) { o.give(v, m, p*chance) })
}

// give is Scratch.answerMember for a probability: of the drawn member m, or of its substitutes.
func (o *distribution) give(v *frame, m int, p float64) {
	s := o.scratch
	if v.canGive.Has(m) {
		o.takes(v, m, p)
		return
	}
	s.familySubstitutes(v, m)
	if !v.scratchSet.Any() {
		o.addNoAnswer(p)
		return
	}
	s.chances(v, v.scratchSet, func(other int, chance float64) { o.takes(v, other, p*chance) })
}

// takes adds a probability to the addresses of m.
func (o *distribution) takes(v *frame, m int, p float64) {
	s := o.scratch
	mem := &s.tree.members[v.first+uint32(m)]
	o.reached[memberRef{uint32(v.id), uint32(m)}] += p
	around := o.region
	defer func() { o.region = around }()
	o.region = cmp.Or(s.tree.cfg.Pools[v.id].Members[m].Region, around)
	if mem.child != none {
		o.waiting[part{ID(mem.child), s.basisOf(v, m), o.region}] += p
		return
	}
	if o.full {
		return
	}
	if s.tree.isCName(mem) || s.recordType != 0 {
		o.add(source{memberRef{uint32(v.id), uint32(m)}, none, o.region}, p)
		return
	}
	given := false
	for joined, chance := range o.addressSubsets(v, m) {
		given = true
		for _, r := range joined {
			o.add(source{memberRef{uint32(v.id), uint32(m)}, r.addr, o.region}, p*chance/float64(len(joined)))
		}
	}
	if !given {
		o.addNoAnswer(p)
	}
}

// addressSubsets yields the sets of addresses that Scratch.addresses may add for an endpoint,
// depending on which addresses in slow start are admitted, and their probabilities. It yields
// nothing if the endpoint has no address.
func (o *distribution) addressSubsets(v *frame, m int) iter.Seq2[[]addrRef, float64] {
	s := o.scratch
	refs, counted := s.tree.addrs(&s.tree.members[v.first+uint32(m)], s.family), s.countsAsUp(v, m)
	if len(refs) > 1 && !counted {
		refs = slices.DeleteFunc(slices.Clone(refs), func(r addrRef) bool { return !s.state.isUp(r) })
	}
	parts := make([]uint64, len(refs))
	for i, r := range refs {
		if parts[i] = full; !counted && r.target != none && len(refs) > 1 {
			parts[i] = fractionOf(s.state.starting, r.target)
		}
	}
	return func(yield func([]addrRef, float64) bool) {
		for left, chance := range admissions(parts) {
			joined := joining(refs, left)
			if len(refs) > 0 && !yield(joined, chance) {
				return
			}
		}
	}
}

// joining returns the refs that are not among left, one bit each; all if that would be none.
func joining(refs []addrRef, left uint) []addrRef {
	var joined []addrRef
	for i, r := range refs {
		if left>>i&1 == 0 {
			joined = append(joined, r)
		}
	}
	if len(joined) == 0 {
		return refs
	}
	return joined
}

func (o *distribution) add(from source, p float64) {
	i, ok := o.at[from]
	if !ok {
		i = len(o.shares)
		o.at[from] = i
		o.shares = append(o.shares, Probability{})
		if from != noRegion() {
			t := o.scratch.tree
			pool := &t.cfg.Pools[from.pool]
			m := &pool.Members[from.member]
			o.shares[i] = Probability{Pool: pool.Name, Member: m.Name, Region: from.region, CName: string(m.CName)}
			if from.addr != none {
				o.shares[i].Addr = t.addr(o.scratch.family, from.addr)
			}
		}
	}
	o.shares[i].P += p
}

func (o *distribution) addNoAnswer(p float64) { o.add(noRegion(), p) }

// isNoAnswer returns the probability of NODATA.
func (o *distribution) isNoAnswer() float64 {
	if i, ok := o.at[noRegion()]; ok {
		return o.shares[i].P
	}
	return 0
}

// noRegion returns the source of NODATA.
func noRegion() source { return source{memberRef{none, none}, none, ""} }
