package pools

import (
	"slices"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/pools/internal/bitset"
)

// familySet is a set of address families, one bit each.
type familySet uint8

func (f familySet) has(family Family) bool { return f>>family&1 != 0 }

// ejections holds the max_ejection state of one pool: how much of its weight went
// down within the window, and how much flap damping holds down. A member that goes down
// is ejected, or its ejection is deferred and the pool continues to treat it as up:
//
//	the member                                                     is
//	was never known to be up, such as at the first start           ejected, not counted
//	is drained, forced up or down, or the change has no time       ejected, not counted
//	went down for its other family within the window               ejected, counted already
//	is the only one that went down within the window               ejected
//	went down, and the total is at most max_ejection               ejected
//	went down, and the total is more                               deferred
//
// Only a simulation (explain, plan) has changes without a time. The count is the
// weight of members that are still down; a member that recovers is subtracted.
// Tick ejects deferred members once they fit, the longest deferred first. The same rows
// apply, with "is out" for "went down within the window", to a member that only flap damping
// holds down: its probes pass. A member is out if it went down within the window or flap damping
// holds it down. Failures have precedence: if more than max_ejection is out, flap damping releases
// members, the one held longest first. So the bound is one for both together.
//
// Every step has constant cost, except Tick, which is linear in the number of deferred
// members. Guarded by Tree.writing.
type ejections struct {
	bound     config.MaxEjection
	total     uint64      // of the members that are enabled and not drained
	ejected   uint64      // of the members that went down within the window and are down
	held      uint64      // of the members that flap damping holds down
	out       uint64      // of both together
	holding   []*ejection // counted in held, the oldest first; may contain entries that no longer count
	recent    []*ejection // counted in ejected, the oldest first; may contain entries that no longer count
	waiting   []deferred  // the longest deferred first; may contain entries that are over
	deferrals int         // how many there were in all
}

// deferred is one deferral. It is over once the member is not deferred, even if it is deferred again later.
type deferred struct {
	*ejection
	number int
}

func (w deferred) over() bool { return w.deferred == 0 || w.ejection.number != w.number }

// ejection is the state of one member that is down by its checks.
type ejection struct {
	member   uint32 // in Tree.members
	weight   uint64
	at       time.Time // when it was ejected
	since    time.Time // when its ejection was deferred
	number   int       // of its last deferral in the pool
	reason   string    // why it is down
	down     familySet // the families for which it is ejected
	deferred familySet // the families for which it is treated as up
	counted  bool      // in ejections.ejected
	damped   bool      // only flap damping holds it down
	held     bool      // in ejections.held
	late     bool      // it was deferred before it was ejected
	unseen   bool      // from another tree or process; no change has confirmed it yet
}

// isOut reports whether a member is counted in ejections.out.
func (m *ejection) isOut() bool { return m.counted || m.held }

// limit returns the most weight that may be out.
func (e *ejections) limit() uint64 { return e.total * uint64(e.bound.Percent) / 100 }

// fits reports whether a member may be ejected now.
func (e *ejections) fits(m *ejection, now time.Time) bool {
	e.expire(now)
	if m.damped {
		return m.isOut() || e.out == 0 || e.out+m.weight <= e.limit()
	}
	return m.counted || e.ejected == 0 || e.ejected+m.weight <= e.limit()
}

// expire removes what went down before the window.
func (e *ejections) expire(now time.Time) {
	n := 0
	for ; n < len(e.recent) && now.Sub(e.recent[n].at) >= e.bound.Window; n++ {
		e.uncount(e.recent[n])
	}
	if e.recent = e.recent[n:]; len(e.recent) == 0 {
		e.recent = nil
	}
}

// count adds an ejection to the weight that went down within the window, or that is held down.
func (e *ejections) count(m *ejection, now time.Time) {
	if !m.isOut() {
		e.out += m.weight
	}
	switch {
	case m.damped && !m.held:
		m.held = true
		e.held += m.weight
		e.holding = append(e.holding, m)
	case !m.damped && !m.counted:
		m.counted, m.at = true, now
		e.ejected += m.weight
		e.recent = append(e.recent, m)
	}
}

// uncount removes an ejection from the weight that went down within the window.
func (e *ejections) uncount(m *ejection) {
	if !m.counted {
		return
	}
	e.ejected -= m.weight
	if m.counted = false; !m.isOut() {
		e.out -= m.weight
	}
}

// release removes an ejection from the weight that is held down.
func (e *ejections) release(m *ejection) {
	if !m.held {
		return
	}
	e.held -= m.weight
	if m.held = false; !m.isOut() {
		e.out -= m.weight
	}
}

// releaseDamped treats members that flap damping holds down as up, the one held longest first, until
// the members that are out fit the bound.
func (d *builder) releaseDamped(e *ejections) {
	for len(e.holding) > 0 && e.out > e.limit() {
		m := e.holding[0]
		if e.holding = e.holding[1:]; !m.held || m.counted {
			continue
		}
		e.release(m)
		e.postpone(m, m.down, d.cause.now)
		m.down = 0
		d.noteDeferral(m, false)
		d.markSlowDirty(m)
		d.recomputeMember(d.tree.memberRefOf(m.member))
	}
}

// ejecting is the cause of the ejections in progress. It belongs to the builder.
type ejecting struct {
	now    time.Time // of the latest change or tick
	free   bool      // ejections are neither counted nor deferred
	timed  bool      // a change of this Apply had a time
	reason string
}

// causedBy records the cause of the next ejections.
func (d *builder) causedBy(transition *health.Transition) {
	d.cause.advance(transition.At)
	d.cause.free, d.cause.reason = transition.At.IsZero(), transition.Reason
	d.cause.timed = d.cause.timed || !d.cause.free
}

// advance moves the time forward, never backward.
func (c *ejecting) advance(now time.Time) {
	if now.After(c.now) {
		c.now = now
	}
}

// eject ejects a member that is down for some families, or defers that, and returns
// the families for which it is still treated as up.
func (d *builder) eject(u memberRef, lost familySet, damped bool) (deferred familySet) {
	e := d.tree.ejections.of(u.pool)
	member := d.tree.pools[u.pool].first + u.member
	if e == nil || d.tree.weights[member] == 0 {
		return 0
	}
	m := d.tree.ejections.members[member]
	d.tree.ejections.work++
	if lost == 0 {
		d.recover(e, m)
		return 0
	}
	if m == nil {
		m = &ejection{member: member, weight: uint64(d.tree.weights[member]), at: d.cause.now, reason: d.cause.reason}
		d.tree.ejections.members[member] = m
	}
	before := m.deferred != 0 && !m.unseen
	m.unseen, m.down, m.deferred = false, m.down&lost, m.deferred&lost
	d.damp(e, m, damped)
	if fresh := lost &^ m.down; fresh != 0 {
		d.admit(e, m, fresh)
	}
	d.noteDeferral(m, before)
	return m.deferred
}

// admit ejects a member for more families, or defers that.
func (d *builder) admit(e *ejections, m *ejection, fresh familySet) {
	kind := d.kind(m.member)
	switch {
	case d.cause.free, kind == Drained, kind == ForcedDown, kind == ForcedUp && m.deferred == 0:
	case !m.damped && !d.tree.ejections.established.Has(int(m.member)):
	case e.fits(m, d.cause.now):
		e.count(m, d.cause.now)
	default:
		e.postpone(m, fresh, d.cause.now)
		return
	}
	m.down, m.deferred = m.down|fresh, 0
	d.releaseDamped(e)
}

// postpone defers the ejection of a member for some families.
func (e *ejections) postpone(m *ejection, of familySet, now time.Time) {
	if m.deferred == 0 {
		m.since = now
		e.wait(m)
	}
	m.deferred |= of
}

// wait queues a member for ejection by Tick.
func (e *ejections) wait(m *ejection) {
	e.deferrals++
	m.number = e.deferrals
	e.waiting = append(e.waiting, deferred{m, m.number})
}

// damp records whether flap damping alone holds a member down. An ejected member stays
// down as far as the limit allows; otherwise it is treated as up again.
func (d *builder) damp(e *ejections, m *ejection, damped bool) {
	if m.damped == damped {
		return
	}
	m.damped = damped
	if !damped {
		e.release(m)
	} else if m.down != 0 && d.kind(m.member) == 0 && !d.cause.free {
		if e.fits(m, d.cause.now) {
			e.count(m, d.cause.now)
		} else {
			e.postpone(m, m.down, d.cause.now)
			m.down = 0
		}
	}
	d.markSlowDirty(m)
}

// recover removes the ejection of a member that is up.
func (d *builder) recover(e *ejections, m *ejection) {
	if m == nil || m.unseen {
		return
	}
	if m.held {
		d.markSlowDirty(m)
	}
	deferred := m.deferred != 0
	e.uncount(m)
	e.release(m)
	m.down, m.deferred = 0, 0
	delete(d.tree.ejections.members, m.member)
	d.noteDeferral(m, deferred)
}

// endUnconfirmed ends the restored entries that no change has confirmed.
func (d *builder) endUnconfirmed(now time.Time) {
	d.cause.advance(now)
	d.cause.free, d.cause.reason = false, ""
	for _, m := range d.tree.ejections.unseen {
		if m.unseen {
			m.unseen = false
			d.recomputeMember(d.tree.memberRefOf(m.member))
		}
	}
	d.tree.ejections.unseen = nil
}

// ejectDeferred ejects the deferred members that fit by now, the longest deferred first.
func (d *builder) ejectDeferred(now time.Time) {
	d.cause.advance(now)
	d.cause.free, d.cause.reason = false, ""
	for id := range d.tree.ejections.pools {
		e := &d.tree.ejections.pools[id]
		out := e.out
		e.expire(d.cause.now)
		d.ejectDeferredOf(e)
		if e.out != out { // slow start may withhold more or less
			d.staleIn = append(d.staleIn, ID(id))
		}
	}
}

func (d *builder) ejectDeferredOf(e *ejections) {
	waiting, full := e.waiting, [2]bool{} // by kind: failing, and held down by damping
	e.waiting = nil
	d.tree.ejections.work += len(waiting)
	for _, w := range waiting {
		kind := 0
		if w.damped {
			kind = 1
		}
		switch m := w.ejection; {
		case w.over():
		case full[kind] || !e.fits(m, d.cause.now):
			full[kind] = true
			e.waiting = append(e.waiting, w)
		default:
			e.count(m, d.cause.now)
			m.down, m.deferred, m.at, m.late = m.down|m.deferred, 0, d.cause.now, true
			d.noteDeferral(m, true)
			d.recomputeMember(d.tree.memberRefOf(m.member))
			d.releaseDamped(e)
		}
	}
}

// poolEjections holds the ejections of all pools, and the members' state.
type poolEjections struct {
	pools       []ejections          // by pool; empty: no pool has max_ejection
	members     map[uint32]*ejection // the down members, by number
	established bitset.Set           // the members that have been up at least once
	regions     []bool               // the same for the regions with a check
	unseen      []*ejection          // restored entries, until EndFirstRound
	news        []Deferral           // not taken yet
	work        int                  // entries visited, for tests of the cost
}

// of returns the ejections of a pool; nil: it has no bound.
func (p *poolEjections) of(pool uint32) *ejections {
	if len(p.pools) == 0 || !p.pools[pool].bound.Bounds() {
		return nil
	}
	return &p.pools[pool]
}

// startEjections prepares the ejections of pools with max_ejection.
func (t *Tree) startEjections() {
	t.ejections = poolEjections{}
	if !slices.ContainsFunc(t.cfg.Pools, func(p config.Pool) bool { return p.MaxEjection.Bounds() }) {
		return
	}
	e := &t.ejections
	e.pools, e.members = make([]ejections, len(t.pools)), map[uint32]*ejection{}
	t.damped = make(bitset.Set, bitset.WordsFor(len(t.targets)))
	e.established, e.regions = make(bitset.Set, bitset.WordsFor(len(t.members))), make([]bool, len(t.checked))
	t.eachMember(func(u memberRef, m *member) {
		if slices.ContainsFunc(t.refs[m.first:][:m.addresses()], func(r addrRef) bool { return r.target == none }) {
			t.establishMember(u) // not probed
		}
	})
	for id := range t.pools {
		e.pools[id].bound = t.cfg.Pools[id].MaxEjection
	}
}

// weigh recomputes the weight of a pool's members that are enabled and not drained.
func (d *builder) weigh(id ID) {
	e := d.tree.ejections.of(uint32(id))
	if e == nil {
		return
	}
	p := &d.tree.pools[id]
	e.total = 0
	for _, weight := range d.tree.weights[p.first:][:p.members] {
		e.total += uint64(weight)
	}
	for _, h := range d.overridesIn(p) {
		if h.kind == Drained {
			e.total -= uint64(d.tree.weights[h.member])
		}
	}
}

// establish records that a target has been up, and so have its members and the
// pools of those.
func (d *builder) establish(target uint32) {
	if len(d.tree.ejections.pools) == 0 {
		return
	}
	for _, u := range d.tree.membersByTarget.of(target) {
		d.tree.establishMember(u)
	}
	for _, region := range d.tree.regionsByTarget[target] {
		d.tree.ejections.regions[region] = true
	}
}

// establishMember records that a member has been up, and so have the pools that contain it.
func (t *Tree) establishMember(u memberRef) {
	member := t.pools[u.pool].first + u.member
	if t.ejections.established.Has(int(member)) {
		return
	}
	t.ejections.established.Add(int(member))
	for _, parent := range t.parents.of(u.pool) {
		t.establishMember(parent)
	}
}

// knownUp reports whether a region with a check has been up at least once.
func (p *poolEjections) knownUp(region uint32) bool { return len(p.regions) > 0 && p.regions[region] }

// setDamped records whether flap damping alone holds a target down, and reports whether
// that is a change.
func (d *builder) setDamped(target uint32, damped bool) bool {
	if len(d.tree.ejections.pools) == 0 || d.tree.damped.Has(int(target)) == damped {
		return false
	}
	if damped {
		d.tree.damped.Add(int(target))
	} else {
		d.tree.damped.Remove(int(target))
	}
	return true
}

// isDamped reports whether an endpoint is down for some families by flap damping alone:
// for each of them an address passes its probes.
func (d *builder) isDamped(u memberRef, lost familySet) bool {
	m := &d.tree.members[d.tree.pools[u.pool].first+u.member]
	if m.child != none || len(d.tree.ejections.pools) == 0 || d.regionDown(u) != nil {
		return false
	}
	passes := func(r addrRef) bool { return d.isUp(r) || d.tree.damped.Has(int(r.target)) }
	for _, f := range []Family{IPv4, IPv6} {
		if lost.has(f) && !slices.ContainsFunc(d.tree.verdictAddrs(m, f), passes) {
			return false
		}
	}
	return true
}

// hasPending reports whether ejectDeferred has entries to check. It has none before the first health states have confirmed or
// ended the restored entries: until then members look up that are down.
func (p *poolEjections) hasPending() bool {
	pending := func(e ejections) bool { return len(e.waiting) > 0 || len(e.recent) > 0 }
	return len(p.unseen) == 0 && slices.ContainsFunc(p.pools, pending)
}
