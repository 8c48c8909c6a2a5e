package pools

import (
	"slices"
	"sync/atomic"
	"time"

	"meridian/health"
)

// Change is a pool's turning from one Mode to another for a family.
type Change struct {
	Pool     string
	Family   Family
	From, To Mode
}

// Apply takes turns over into the pools that they concern, and only those, all
// at once: a decision sees all of them or none. Turn.Index is an index of
// Targets. The changes tell which pools began or ended to fail open or to use
// their fallback: of the pools that names are bound to, and of the families that
// such a pool, or its fallback, has an address of.
func (t *Tree) Apply(turns []health.Transition) []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	d := &t.next
	d.begin(t.state.Load())
	d.cause.timed = false
	for i := range turns {
		d.causedBy(&turns[i])
		d.applyTransition(&turns[i])
	}
	d.cause.free, d.cause.reason = !d.cause.timed, "not enough of its members are up" // what is left are pools as members
	return t.settleChangesLocked()
}

// applyTransition takes one turn over, as far as it is about targets and members.
func (d *builder) applyTransition(turn *health.Transition) {
	target := uint32(turn.Index)
	d.setResponseTime(target, turn.Response)
	news := d.setVerdict(target, turn)
	d.queueFraction(target, turn)
	if effectiveVerdict(turn) == health.Up {
		d.establish(target)
	}
	if !d.setDamped(target, turn.Damped) && !news {
		return
	}
	for _, u := range d.tree.membersByTarget.of(target) {
		d.recomputeMember(u)
	}
	for _, region := range d.tree.regionsByTarget[target] {
		d.judgeRegion(region)
	}
}

// settleChangesLocked takes what the turns made of members on to the pools.
func (t *Tree) settleChangesLocked() []Change {
	t.next.applyFractions()
	t.next.propagate(byVerdict)
	return t.publishLocked()
}

// publishLocked makes the draft the state that decisions go by.
func (t *Tree) publishLocked() []Change {
	t.state.Store(t.next.state)
	return t.finishLocked()
}

// Modes lists who is not Normal, as the changes that led there: with those of
// every later Apply it is always known. After a reload the difference to the
// tree before tells what is news. The pools and families are those that Apply
// tells of.
func (t *Tree) Modes() []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	var changes []Change
	for id, modes := range t.modes {
		for f, to := range modes {
			if to != Normal {
				changes = append(changes, Change{t.cfg.Pools[id].Name, Family(f), Normal, to})
			}
		}
	}
	return changes
}

// setVerdict notes a verdict, and reports whether the target can now be answered
// and could not before, or the other way round.
func (d *builder) setVerdict(target uint32, turn *health.Transition) bool {
	v := effectiveVerdict(turn)
	word, bit := target/64, uint64(1)<<(target%64)
	mark(&d.tree.up[word], bit, v == health.Up)
	mark(&d.tree.provisional[word], bit, turn.To == health.Uncertain)
	return d.setWord(d.tree.downs+word, bit, v == health.Down)
}

// effectiveVerdict is the verdict that answers go by.
func effectiveVerdict(turn *health.Transition) health.Verdict {
	if turn.To == health.Uncertain {
		return turn.Effective
	}
	return turn.To
}

// mark sets or clears a bit of what is for explaining only.
func mark(word *atomic.Uint64, bit uint64, on bool) {
	if on {
		word.Or(bit)
	} else {
		word.And(^bit)
	}
}

// recomputeMember looks at a member again: at an endpoint's addresses, at a nested pool, at its
// region. max_ejection may have its pool treat it as up although it is down.
func (d *builder) recomputeMember(u memberRef) {
	d.markFractionsDirty([]memberRef{u})
	var offers [2]offer
	lost := familySet(0)
	for f := range offers {
		if offers[f] = d.offers(u, Family(f), byVerdict); !offers[f].live {
			lost |= 1 << f
		}
	}
	deferred := d.eject(u, lost, lost != 0 && d.isDamped(u, lost))
	for f, o := range offers {
		if deferred.has(Family(f)) {
			o = d.offersIfUp(u, Family(f))
		}
		d.candidate(u, Family(f), byVerdict, o)
		if !d.tree.pools[u.pool].nests {
			continue
		}
		if !deferred.has(Family(f)) {
			o = d.offers(u, Family(f), remaining)
		}
		d.candidate(u, Family(f), remaining, o)
	}
}

// offers is what a member has to offer by its checks and its region's.
func (d *builder) offers(u memberRef, f Family, pl basis) offer {
	p := &d.tree.pools[u.pool]
	m := &d.tree.members[p.first+u.member]
	o := offer{some: m.addresses() > 0, gives: len(d.tree.addrs(m, f)) > 0}
	if m.child != none {
		o = d.offersTo(p, ID(m.child), f, pl)
	} else {
		o.live = d.isUpFor(p, m, f)
	}
	o.live = o.live && d.regionDown(u) == nil
	return o
}

// offersIfUp is what a member has to offer that is treated as up although it is down.
func (d *builder) offersIfUp(u memberRef, f Family) offer {
	o := d.offers(u, f, byVerdict)
	if m := &d.tree.members[d.tree.pools[u.pool].first+u.member]; m.child != none && !o.some {
		o = d.poolOffers(ID(m.child), f, failOpen)
	}
	o.live = true
	return o
}

// recomputeFailOpen looks at what failing open may make of a member.
func (d *builder) recomputeFailOpen(u memberRef) {
	m := &d.tree.members[d.tree.pools[u.pool].first+u.member]
	resolved := m.addresses() > 0
	for _, f := range []Family{IPv4, IPv6} {
		if m.child != none {
			d.candidate(u, f, failOpen, d.poolOffers(ID(m.child), f, failOpen))
			continue
		}
		d.candidate(u, f, failOpen, offer{live: resolved, some: resolved, gives: len(d.tree.addrs(m, f)) > 0})
	}
}

// recomputeMinUp computes how many members the pool's percentage is.
func (d *builder) recomputeMinUp(id ID) {
	p := &d.tree.pools[id]
	if !p.percent {
		return
	}
	need := uint64(max(1, (d.candidates(id)*int(p.minUp)+99)/100))
	if d.word(p.needAt()) != need {
		d.setBit(p.needAt(), need)
		d.markDirty(id)
	}
}

// offer is what a member has to offer for a family, as far as that is its own.
type offer struct {
	live  bool // by its verdicts and its region's; a pool: it is live
	some  bool // there is somebody to answer at all; a pool: one of its members is eligible
	gives bool // and has an address of the family
}

func (st *state) poolOffers(id ID, f Family, pl basis) offer {
	return offer{live: st.isLive(id, f, pl), some: st.countEligible(id, f, pl) > 0, gives: st.gives(id, f, pl)}
}

// candidate says whether a member is live, by what it has to offer and what is said of it:
//
//	override      live by health states  failing open
//	drained       no                     no
//	forced up     yes, if some           yes, if some
//	forced down   no                     no
//	assumed down  no                     as offered
//	none          as offered             as offered
func (d *builder) candidate(u memberRef, f Family, pl basis, o offer) {
	live := o.live
	switch d.kind(d.tree.pools[u.pool].first + u.member) {
	case Drained, ForcedDown:
		live = false
	case ForcedUp:
		live = o.some
	case AssumedDown:
		live = live && pl == failOpen
	}
	d.setEligibility(u, f, pl, live, o.gives)
}

// setEligibility says of a member whether it is live and, being so, can give the
// family, and notes its pool if that is news.
func (d *builder) setEligibility(u memberRef, f Family, pl basis, live, gives bool) {
	p := &d.tree.pools[u.pool]
	if d.tree.weights[p.first+u.member] == 0 {
		return
	}
	word, bit := u.member/64, uint64(1)<<(u.member%64)
	news := d.setWord(p.eligible(f, pl)+word, bit, live)
	if d.setWord(p.giving(f, pl)+word, bit, live && gives) || news {
		d.markDirty(ID(u.pool))
	}
}

// propagate takes what all noted pools have become into the pools that they
// are members of, lower pools first so that each is looked at once.
func (d *builder) propagate(pl basis) {
	for h := range d.dirty {
		d.recomputeFractions()
		for _, id := range d.dirty[h] {
			parents := d.tree.parents.of(uint32(id))
			if len(parents) == 0 {
				continue
			}
			for _, u := range parents {
				if pl == byVerdict {
					d.recomputeMember(u)
				} else {
					d.recomputeFailOpen(u)
				}
			}
		}
	}
}

// finishLocked gathers what the new state changed for names, and leaves the
// draft ready for the next.
func (t *Tree) finishLocked() []Change {
	d, now := &t.next, time.Now()
	var changes []Change
	for h := range d.dirty {
		for _, id := range d.dirty[h] {
			d.queued[id] = false
			changes = t.changesLocked(changes, id)
			t.tenuresLocked(id, now)
			for _, other := range t.fallbackUsers.of(uint32(id)) {
				changes = t.changesLocked(changes, other)
				t.tenuresLocked(other, now)
			}
		}
		d.dirty[h] = d.dirty[h][:0]
	}
	d.begin(nil)
	return changes
}

// changesLocked adds the changes of mode of a pool that a name is bound to.
func (t *Tree) changesLocked(changes []Change, id ID) []Change {
	if !t.bound[id] {
		return changes
	}
	for _, f := range []Family{IPv4, IPv6} {
		if !t.hasFamily(id, f) {
			continue
		}
		from := t.modes[id][f]
		to, _, _ := t.next.selectSource(id, f)
		if from != to {
			t.modes[id][f] = to
			changes = append(changes, Change{t.cfg.Pools[id].Name, f, from, to})
		}
	}
	return changes
}

// hasFamily reports whether a pool or its fallback has an address of the family:
// without one, whatever its mode, there is nothing to answer.
func (t *Tree) hasFamily(id ID, f Family) bool {
	p := &t.pools[id]
	return p.has[f] || p.fallback != none && t.pools[p.fallback].has[f]
}

// initState works out the first state, in which every target is unknown and so up.
func (t *Tree) initState() {
	t.up = make([]atomic.Uint64, wordsFor(len(t.targets)))
	t.provisional = make([]atomic.Uint64, wordsFor(len(t.targets)))
	t.modes, t.since = make([][2]Mode, len(t.pools)), make([]atomic.Pointer[sinces], len(t.pools))
	t.regionDowns = t.downs + uint32(wordsFor(len(t.targets)))
	words := int(t.regionDowns) + wordsFor(len(t.checked))
	if t.responses = none; len(t.timed.start) > 0 {
		t.responses = uint32(words)
		words += len(t.targets)
	}
	t.withFreeCapacity = uint32(words)
	words += t.roomCount
	t.startEjections()
	if t.deferrals = uint32(words); len(t.ejections.pools) > 0 {
		words += 2 * wordsFor(len(t.members))
	}
	empty := slices.Repeat([]*page{new(page)}, words/pageWords+1)
	d := &t.next
	d.queued, d.dirty = make([]bool, len(t.pools)), make([][]ID, t.levels)
	d.begin(&state{tree: t, pages: empty})
	t.eachMember(func(u memberRef, m *member) {
		if m.child != none {
			return
		}
		resolved := m.addresses() > 0
		for _, f := range []Family{IPv4, IPv6} {
			for _, pl := range []basis{byVerdict, failOpen, remaining} {
				d.setEligibility(u, f, pl, resolved, len(t.addrs(m, f)) > 0)
			}
		}
	})
	for id := range t.pools {
		d.recomputeMinUp(ID(id))
		d.weigh(ID(id))
	}
	d.cause.free = true // what is not live from the start does not go down
	d.updateFreeCapacity()
	d.propagate(failOpen)
	d.propagate(byVerdict) // which under dual_stack: together looks at what is open
	t.state.Store(d.state)
	for id := range t.pools { // those without any member that could be up too, which were never noted
		t.changesLocked(nil, ID(id))
		t.tenuresLocked(ID(id), time.Now())
	}
	t.finishLocked()
}
