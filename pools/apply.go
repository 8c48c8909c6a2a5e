package pools

import (
	"slices"
	"sync/atomic"
	"time"
	"weak"

	"meridian/health"
	"meridian/pools/internal/bitset"
)

// Change is a pool's change from one Mode to another for a family.
type Change struct {
	Pool     string
	Family   Family
	From, To Mode
}

// Apply applies health state changes to the pools that they concern, and only to
// those. A decision sees all of the changes or none. Transition.Index is an index of
// Targets. The result lists the pools that began or ended failing open or using
// their fallback: pools that names are bound to, for the families that the pool
// or its fallback has an address of.
func (t *Tree) Apply(transitions []health.Transition) []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	d := &t.next
	d.begin(t.state.Load())
	d.cause.timed = false
	for i := range transitions {
		d.causedBy(&transitions[i])
		d.applyTransition(&transitions[i])
	}
	d.cause.free, d.cause.reason = !d.cause.timed, "not enough of its members are up" // the remaining causes are pools as members
	return t.settleChangesLocked()
}

// applyTransition applies one change of health state to the targets and members.
func (d *builder) applyTransition(transition *health.Transition) {
	target := uint32(transition.Index)
	d.setResponseTime(target, transition.Response)
	changed := d.setVerdict(target, transition)
	d.queueFraction(target, transition)
	if effectiveVerdict(transition) == health.Up {
		d.establish(target)
	}
	if !d.setDamped(target, transition.Damped) && !changed {
		return
	}
	for _, u := range d.tree.membersByTarget.of(target) {
		d.recomputeMember(u)
	}
	for _, region := range d.tree.regionsByTarget[target] {
		d.recomputeRegion(region)
	}
}

// settleChangesLocked propagates the changes of members to the pools.
func (t *Tree) settleChangesLocked() []Change {
	t.next.applyFractions()
	t.next.propagate(byVerdict)
	return t.publishLocked()
}

// publishLocked publishes the built state for decisions.
func (t *Tree) publishLocked() []Change {
	t.next.updateDegraded()
	t.state.Store(t.next.state)
	return t.finishLocked()
}

// Modes lists the pools that are not Normal, as changes from Normal. Together with
// the changes of every later Apply this gives the current mode. After a reload, the
// difference from the previous tree shows what is new. It covers the same pools and
// families as Apply.
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

// setVerdict records a health state and reports whether that changes whether the target
// can be answered.
func (d *builder) setVerdict(target uint32, transition *health.Transition) bool {
	v := effectiveVerdict(transition)
	word, bit := target/64, uint64(1)<<(target%64)
	mark(&d.tree.up[word], bit, v == health.Up)
	mark(&d.tree.provisional[word], bit, transition.To == health.Uncertain)
	return d.setWord(d.tree.downs+word, bit, v == health.Down)
}

// effectiveVerdict returns the health state that answers use.
func effectiveVerdict(transition *health.Transition) health.Verdict {
	if transition.To == health.Uncertain {
		return transition.Effective
	}
	return transition.To
}

// mark sets or clears a bit that only explain reads.
func mark(word *atomic.Uint64, bit uint64, on bool) {
	if on {
		word.Or(bit)
	} else {
		word.And(^bit)
	}
}

// recomputeMember recomputes a member from an endpoint's addresses, a nested pool, and its
// region. max_ejection may have the pool treat a down member as up.
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

// offers returns what a member can answer by its checks and those of its region.
func (d *builder) offers(u memberRef, f Family, pl basis) offer {
	p := &d.tree.pools[u.pool]
	m := &d.tree.members[p.first+u.member]
	o := offer{some: m.addresses() > 0, gives: d.tree.givesAddress(m, f)}
	if m.child != none {
		o = d.offersTo(p, ID(m.child), f, pl)
	} else {
		o.live = d.isUpFor(p, m, f)
	}
	o.live = o.live && d.regionDown(u) == nil
	return o
}

// offersIfUp returns what a member can answer that is treated as up although it is down.
func (d *builder) offersIfUp(u memberRef, f Family) offer {
	o := d.offers(u, f, byVerdict)
	if m := &d.tree.members[d.tree.pools[u.pool].first+u.member]; m.child != none && !o.some {
		o = d.poolOffers(ID(m.child), f, failOpen)
	}
	o.live = true
	return o
}

// recomputeFailOpen recomputes what a member can answer if its pool fails open.
func (d *builder) recomputeFailOpen(u memberRef) {
	m := &d.tree.members[d.tree.pools[u.pool].first+u.member]
	resolved := m.addresses() > 0
	for _, f := range []Family{IPv4, IPv6} {
		if m.child != none {
			d.candidate(u, f, failOpen, d.poolOffers(ID(m.child), f, failOpen))
			continue
		}
		d.candidate(u, f, failOpen, offer{live: resolved, some: resolved, gives: d.tree.givesAddress(m, f)})
	}
}

// recomputeMinUp computes the number of members that a min_up in percent requires.
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

// offer is what a member can answer for a family, before overrides.
type offer struct {
	live  bool // by its health states and its region's; a pool: it is live
	some  bool // it has an address at all; a pool: one of its members is eligible
	gives bool // it has an address of the family
}

func (st *state) poolOffers(id ID, f Family, pl basis) offer {
	return offer{live: st.isLive(id, f, pl), some: st.countEligible(id, f, pl) > 0, gives: st.gives(id, f, pl)}
}

// candidate decides whether a member is live, by what it offers and its override:
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

// setEligibility records whether a member is live and can give the family, and marks
// its pool dirty on a change.
func (d *builder) setEligibility(u memberRef, f Family, pl basis, live, gives bool) {
	p := &d.tree.pools[u.pool]
	if d.tree.weights[p.first+u.member] == 0 {
		return
	}
	word, bit := u.member/64, uint64(1)<<(u.member%64)
	changed := d.setWord(p.eligible(f, pl)+word, bit, live)
	if d.setWord(p.giving(f, pl)+word, bit, live && gives) || changed {
		d.markDirty(ID(u.pool))
	}
}

// propagate recomputes the parents of all dirty pools, lower pools first so that
// each pool is recomputed once.
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

// finishLocked collects what the new state changes for names, and resets the builder
// for the next state.
func (t *Tree) finishLocked() []Change {
	d, now := &t.next, time.Now()
	var changes []Change
	for h := range d.dirty {
		for _, id := range d.dirty[h] {
			d.queued[id] = false
			changes = t.changesLocked(changes, id)
			t.updateSinceLocked(id, now)
			for _, other := range t.fallbackUsers.of(uint32(id)) {
				changes = t.changesLocked(changes, other)
				t.updateSinceLocked(other, now)
			}
		}
		d.dirty[h] = d.dirty[h][:0]
	}
	d.begin(nil)
	return changes
}

// changesLocked appends the mode changes of a pool that a name is bound to.
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

// hasFamily reports whether a pool or its fallback has an address of the family.
// Without one, every mode has the same answer: none.
func (t *Tree) hasFamily(id ID, f Family) bool {
	p := &t.pools[id]
	return p.has[f] || p.fallback != none && t.pools[p.fallback].has[f]
}

// initState builds the first state, in which every target is unknown and counts as up.
func (t *Tree) initState() {
	words := t.layOut()
	t.next.begin(&state{tree: t, pages: slices.Repeat([]*page{new(page)}, words/pageWords+1)})
	t.eachMember(func(u memberRef, m *member) {
		if m.child == none {
			t.next.initMember(u)
		}
	})
	for id := range t.pools {
		t.next.recomputeMinUp(ID(id))
	}
	t.finishInit()
}

// layOut places the parts of a state, allocates what Apply writes, and returns how many words a state has.
func (t *Tree) layOut() (words int) {
	t.up = make([]atomic.Uint64, bitset.WordsFor(len(t.targets)))
	t.provisional = make([]atomic.Uint64, bitset.WordsFor(len(t.targets)))
	t.modes, t.since = make([][2]Mode, len(t.pools)), make([]atomic.Pointer[sinces], len(t.pools))
	t.next.queued, t.next.dirty = make([]bool, len(t.pools)), make([][]ID, t.levels)
	t.startEjections()
	t.withFreeCapacity = t.poolWords
	t.deferrals = t.withFreeCapacity + uint32(t.roomCount)
	t.downs = t.deferrals
	if len(t.ejections.pools) > 0 {
		t.downs += 2 * uint32(bitset.WordsFor(len(t.members)))
	}
	t.regionDowns = t.downs + uint32(bitset.WordsFor(len(t.targets)))
	words = int(t.regionDowns) + bitset.WordsFor(len(t.checked))
	if t.responses = none; len(t.timed.start) > 0 {
		t.responses = uint32(words)
		words += len(t.targets)
	}
	return words
}

// initMember sets the eligibility of an endpoint in the first state.
func (d *builder) initMember(u memberRef) {
	m := &d.tree.members[d.tree.pools[u.pool].first+u.member]
	resolved := m.addresses() > 0
	for _, f := range families {
		for _, pl := range []basis{byVerdict, failOpen, remaining} {
			d.setEligibility(u, f, pl, resolved, d.tree.givesAddress(m, f))
		}
	}
}

// finishInit completes the first state from its endpoints and stores it.
func (t *Tree) finishInit() {
	d := &t.next
	for id := range t.pools {
		d.weigh(ID(id))
	}
	d.cause.free = true // a member that is not live from the start does not go down
	d.updateFreeCapacity()
	d.propagate(failOpen)
	d.propagate(byVerdict) // with dual_stack: together this reads the fail-open sets
	d.updateDegraded()
	t.state.Store(d.state)
	now := time.Now()
	for id := range t.pools { // including pools without any eligible member, which are never dirty
		t.changesLocked(nil, ID(id))
		t.updateSinceLocked(ID(id), now)
	}
	t.finishLocked()
}

// Version identifies the states, overrides and loads that answers are made from. It does not keep them in memory.
type Version struct{ state weak.Pointer[state] }

// Version returns the present version. After a change it is another one.
func (t *Tree) Version() Version { return Version{weak.Make(t.state.Load())} }
