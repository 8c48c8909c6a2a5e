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
func (t *Tree) Apply(turns []health.Turn) []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	d := &t.next
	d.begin(t.state.Load())
	d.cause.timed = false
	for i := range turns {
		d.causedBy(&turns[i])
		d.turn(&turns[i])
	}
	d.cause.free, d.cause.reason = !d.cause.timed, "not enough of its members are up" // what is left are pools as members
	return t.settleTurnsLocked()
}

// turn takes one turn over, as far as it is about targets and members.
func (d *draft) turn(turn *health.Turn) {
	target := uint32(turn.Index)
	d.respond(target, turn.Response)
	news := d.setVerdict(target, turn)
	d.noteShare(target, turn)
	if counted(turn) == health.Up {
		d.establish(target)
	}
	if !d.setDamped(target, turn.Damped) && !news {
		return
	}
	for _, u := range d.tree.users.of(target) {
		d.refresh(u)
	}
	for _, region := range d.tree.watched[target] {
		d.judge(region)
	}
}

// settleTurnsLocked takes what the turns made of members on to the pools.
func (t *Tree) settleTurnsLocked() []Change {
	t.next.mergeShares()
	t.next.tellParents(asIs)
	return t.publishLocked()
}

// publishLocked makes the draft the state that decisions go by.
func (t *Tree) publishLocked() []Change {
	t.state.Store(t.next.state)
	return t.settleLocked()
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
func (d *draft) setVerdict(target uint32, turn *health.Turn) bool {
	v := counted(turn)
	word, bit := target/64, uint64(1)<<(target%64)
	mark(&d.tree.up[word], bit, v == health.Up)
	mark(&d.tree.doubt[word], bit, turn.To == health.Uncertain)
	return d.set(d.tree.downs+word, bit, v == health.Down)
}

// counted is the verdict that answers go by.
func counted(turn *health.Turn) health.Verdict {
	if turn.To == health.Uncertain {
		return turn.Held
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

// refresh looks at a member again: at an endpoint's addresses, at a nested pool, at its
// region. max_ejection may have its pool treat it as up although it is down.
func (d *draft) refresh(u use) {
	d.doubtShares([]use{u})
	var offers [2]offered
	lost := familySet(0)
	for f := range offers {
		if offers[f] = d.offers(u, Family(f), asIs); !offers[f].live {
			lost |= 1 << f
		}
	}
	deferred := d.eject(u, lost, lost != 0 && d.isDamped(u, lost))
	for f, o := range offers {
		if deferred.has(Family(f)) {
			o = d.offersIfUp(u, Family(f))
		}
		d.offer(u, Family(f), asIs, o)
		if !d.tree.pools[u.pool].nests {
			continue
		}
		if !deferred.has(Family(f)) {
			o = d.offers(u, Family(f), remaining)
		}
		d.offer(u, Family(f), remaining, o)
	}
}

// offers is what a member has to offer by its checks and its region's.
func (d *draft) offers(u use, f Family, pl plane) offered {
	p := &d.tree.pools[u.pool]
	m := &d.tree.members[p.first+u.member]
	o := offered{some: m.addresses() > 0, gives: len(d.tree.addrs(m, f)) > 0}
	if m.child != none {
		o = d.offersTo(p, ID(m.child), f, pl)
	} else {
		o.live = d.isUpFor(p, m, f)
	}
	o.live = o.live && d.regionDown(u) == nil
	return o
}

// offersIfUp is what a member has to offer that is treated as up although it is down.
func (d *draft) offersIfUp(u use, f Family) offered {
	o := d.offers(u, f, asIs)
	if m := &d.tree.members[d.tree.pools[u.pool].first+u.member]; m.child != none && !o.some {
		o = d.poolOffers(ID(m.child), f, open)
	}
	o.live = true
	return o
}

// reopen looks at what failing open may make of a member.
func (d *draft) reopen(u use) {
	m := &d.tree.members[d.tree.pools[u.pool].first+u.member]
	resolved := m.addresses() > 0
	for _, f := range []Family{IPv4, IPv6} {
		if m.child != none {
			d.offer(u, f, open, d.poolOffers(ID(m.child), f, open))
			continue
		}
		d.offer(u, f, open, offered{live: resolved, some: resolved, gives: len(d.tree.addrs(m, f)) > 0})
	}
}

// count computes how many members the pool's percentage is.
func (d *draft) count(id ID) {
	p := &d.tree.pools[id]
	if !p.percent {
		return
	}
	need := uint64(max(1, (d.candidates(id)*int(p.minUp)+99)/100))
	if d.word(p.needAt()) != need {
		d.put(p.needAt(), need)
		d.note(id)
	}
}

// offered is what a member has to offer for a family, as far as that is its own.
type offered struct {
	live  bool // by its verdicts and its region's; a pool: it is live
	some  bool // there is somebody to answer at all; a pool: one of its members is eligible
	gives bool // and has an address of the family
}

func (st *state) poolOffers(id ID, f Family, pl plane) offered {
	return offered{live: st.isLive(id, f, pl), some: st.countEligible(id, f, pl) > 0, gives: st.gives(id, f, pl)}
}

// offer says whether a member is live, by what it has to offer and what is said of it:
//
//	override      live by health states  failing open
//	drained       no                     no
//	forced up     yes, if some           yes, if some
//	forced down   no                     no
//	assumed down  no                     as offered
//	none          as offered             as offered
func (d *draft) offer(u use, f Family, pl plane, o offered) {
	live := o.live
	switch d.kind(d.tree.pools[u.pool].first + u.member) {
	case Drained, ForcedDown:
		live = false
	case ForcedUp:
		live = o.some
	case AssumedDown:
		live = live && pl == open
	}
	d.setMember(u, f, pl, live, o.gives)
}

// setMember says of a member whether it is live and, being so, can give the
// family, and notes its pool if that is news.
func (d *draft) setMember(u use, f Family, pl plane, live, gives bool) {
	p := &d.tree.pools[u.pool]
	if d.tree.weights[p.first+u.member] == 0 {
		return
	}
	word, bit := u.member/64, uint64(1)<<(u.member%64)
	news := d.set(p.eligible(f, pl)+word, bit, live)
	if d.set(p.giving(f, pl)+word, bit, live && gives) || news {
		d.note(ID(u.pool))
	}
}

// tellParents takes what all noted pools have become into the pools that they
// are members of, lower pools first so that each is looked at once.
func (d *draft) tellParents(pl plane) {
	for h := range d.dirty {
		d.reshare()
		for _, id := range d.dirty[h] {
			parents := d.tree.parents.of(uint32(id))
			if len(parents) == 0 {
				continue
			}
			for _, u := range parents {
				if pl == asIs {
					d.refresh(u)
				} else {
					d.reopen(u)
				}
			}
		}
	}
}

// settleLocked gathers what the new state changed for names, and leaves the
// draft ready for the next.
func (t *Tree) settleLocked() []Change {
	d, now := &t.next, time.Now()
	var changes []Change
	for h := range d.dirty {
		for _, id := range d.dirty[h] {
			d.queued[id] = false
			changes = t.changesLocked(changes, id)
			t.tenuresLocked(id, now)
			for _, other := range t.backed.of(uint32(id)) {
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
		if !t.tellsOf(id, f) {
			continue
		}
		from := t.modes[id][f]
		to, _, _ := t.next.answerer(id, f)
		if from != to {
			t.modes[id][f] = to
			changes = append(changes, Change{t.cfg.Pools[id].Name, f, from, to})
		}
	}
	return changes
}

// tellsOf reports whether a pool or its fallback has an address of the family:
// without one, whatever its mode, there is nothing to answer.
func (t *Tree) tellsOf(id ID, f Family) bool {
	p := &t.pools[id]
	return p.has[f] || p.fallback != none && t.pools[p.fallback].has[f]
}

// start works out the first state, in which every target is unknown and so up.
func (t *Tree) start() {
	t.up = make([]atomic.Uint64, wordsFor(len(t.targets)))
	t.doubt = make([]atomic.Uint64, wordsFor(len(t.targets)))
	t.modes, t.tenures = make([][2]Mode, len(t.pools)), make([]atomic.Pointer[tenures], len(t.pools))
	t.regionDowns = t.downs + uint32(wordsFor(len(t.targets)))
	words := int(t.regionDowns) + wordsFor(len(t.checked))
	if t.responses = none; len(t.timed.start) > 0 {
		t.responses = uint32(words)
		words += len(t.targets)
	}
	t.rooms = uint32(words)
	words += t.roomCount
	t.startEjections()
	if t.deferrals = uint32(words); len(t.ejections.pools) > 0 {
		words += 2 * wordsFor(len(t.members))
	}
	empty := slices.Repeat([]*page{new(page)}, words/pageWords+1)
	d := &t.next
	d.queued, d.dirty = make([]bool, len(t.pools)), make([][]ID, t.heights)
	d.begin(&state{tree: t, pages: empty})
	t.eachMember(func(u use, m *member) {
		if m.child != none {
			return
		}
		resolved := m.addresses() > 0
		for _, f := range []Family{IPv4, IPv6} {
			for _, pl := range []plane{asIs, open, remaining} {
				d.setMember(u, f, pl, resolved, len(t.addrs(m, f)) > 0)
			}
		}
	})
	for id := range t.pools {
		d.count(ID(id))
		d.weigh(ID(id))
	}
	d.cause.free = true // what is not live from the start does not go down
	d.settleRooms()
	d.tellParents(open)
	d.tellParents(asIs) // which under dual_stack: together looks at what is open
	t.state.Store(d.state)
	for id := range t.pools { // those without any member that could be up too, which were never noted
		t.changesLocked(nil, ID(id))
		t.tenuresLocked(ID(id), time.Now())
	}
	t.settleLocked()
}
