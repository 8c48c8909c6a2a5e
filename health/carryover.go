package health

import (
	"cmp"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
)

// targetKey is an operator's name of a target: it survives a change of the check.
type targetKey struct {
	check string
	addr  netip.Addr
}

// predecessors holds the targets that existed before a watch was added, by key. If a member's own settings of a check have
// changed, its key has changed too: then the key of the base check finds the earlier target, if there was exactly one and
// the new watch no longer has it.
type predecessors struct {
	entries  map[targetKey]*targetState
	replaced map[targetKey][]*targetState // by the key of the base check
	saved    map[targetKey]identity
}

// predecessors collects the watched and the saved targets, for a watch of targets. If two targets have the same key because
// a check has just changed, the one that is down wins, so that a change does not clear a hold; of saved targets the newest
// wins.
func (o *scheduler) predecessors(targets []Target) predecessors {
	a := predecessors{make(map[targetKey]*targetState), make(map[targetKey][]*targetState), make(map[targetKey]identity)}
	for _, e := range o.entries {
		of := targetKey{e.name(), e.addr}
		if e.canCarryOver() && (a.entries[of] == nil || e.verdict.verdict == Down) {
			a.entries[of] = e
		}
	}
	a.noteReplaced(o.entries, targets)
	for id, m := range o.saved {
		of := m.targetKey()
		if was, ok := a.saved[of]; !ok || m.At.After(o.saved[was].At) {
			a.saved[of] = id
		}
	}
	return a
}

// noteReplaced adds the entries that a watch of targets does not have.
func (a *predecessors) noteReplaced(entries map[identity]*targetState, targets []Target) {
	kept := make(map[targetKey]bool, len(targets))
	for _, t := range targets {
		kept[targetKey{t.Check.Name, t.Addr.Unmap()}] = true
	}
	for _, e := range entries {
		if e.canCarryOver() && !kept[targetKey{e.name(), e.addr}] {
			of := targetKey{baseName(e.check()), e.addr}
			a.replaced[of] = append(a.replaced[of], e)
		}
	}
}

// baseName returns the name of the check in the file that c is, or that c overrides settings of.
func baseName(c *config.Check) string { return cmp.Or(c.Base, c.Name) }

// predecessor returns the target that e, which is new, replaces; nil: there is none.
func (a *predecessors) predecessor(e *targetState) *targetState {
	c := e.prepared.check
	if p := a.entries[targetKey{c.Name, e.addr}]; p != nil {
		return p
	}
	if replaced := a.replaced[targetKey{baseName(c), e.addr}]; len(replaced) == 1 {
		return replaced[0]
	}
	return nil
}

// canCarryOver reports whether e has state that a changed check of the same name can use. Composites have none: it follows
// from their parts.
func (e *targetState) canCarryOver() bool {
	return len(e.parts) == 0 && (e.verdict.verdict != Unknown || !e.verdict.since.IsZero() || e.inconclusive.failure != nil)
}

// carryOver sets the state of e, which is new, from earlier state of its target. Verdict, streak and holds belong to the
// name of a check and an address: editing a check neither clears holds nor tests the endpoint.
//
//	earlier state                          it was probed as  state of e
//	-------------------------------------  ----------------  ----------------------------------------
//	a target that it replaces              e is              all, by e's thresholds
//	a target that it replaces              another           the verdict, provisional, and the holds
//	saved, of its own definition           e is              all, or provisional if it is old
//	saved, of its key                      e is              the same
//	saved, of its key                      another           the verdict, provisional, and the holds
//	none of these; or it is a composite    any               nothing
func (o *scheduler) carryOver(e *targetState, now time.Time) {
	if len(e.prepared.parts) > 0 {
		return
	}
	m, own, saved := o.takeSaved(e, now)
	changed := false
	switch p := o.before.predecessor(e); {
	case p != nil && p.prepared.probeFingerprint == e.prepared.probeFingerprint:
		e.inheritAll(p, now)
		o.inheritFailure(e, p, now)
		o.observer.Certificates.carryOver(e, p)
	case p != nil:
		changed = e.inheritVerdict(p, now)
	case saved && (own || m.ProbeFingerprint == hex.EncodeToString(e.prepared.probeFingerprint[:])):
		e.restore(m, now)
	case saved:
		was := &targetState{prepared: e.prepared} // as if it were e's own
		was.restore(m, now)
		changed = e.inheritVerdict(was, now)
	}
	o.noteCarriedOver(e, changed, now)
}

// noteCarriedOver counts a provisional verdict, and delays the first probe of a target with a recent one. changed reports
// whether the verdict comes from another definition of the check.
func (o *scheduler) noteCarriedOver(e *targetState, changed bool, now time.Time) {
	switch {
	case changed:
		o.provisional.changed++
	case e.verdict.provisional:
		o.provisional.restored++
	case e.due.IsZero() && e.verdict.verdict != Unknown: // recent saved state: its first probe is not urgent
		e.due = now.Add(time.Duration(rand.Float64() * float64(e.prepared.check.Interval)))
		e.spread = true
		e.unparkedAt = now // the time without results until now does not count
	}
}

// takeSaved removes and returns the valid saved state of e's own definition, else of its key.
func (o *scheduler) takeSaved(e *targetState, now time.Time) (m SavedTarget, own, ok bool) {
	id := e.identity
	if _, own = o.saved[id]; !own {
		id = o.before.saved[targetKey{e.prepared.check.Name, e.addr}]
	}
	m, ok = o.saved[id]
	delete(o.saved, id)                         // e has this state or a newer one
	return m, own, ok && m.validate(now) == nil // it may have become too old since it was loaded
}

// inheritAll copies all state of p to e, which has the same probe.
func (e *targetState) inheritAll(p *targetState, now time.Time) {
	c := e.prepared.check
	t, lease := e.rebase(p, now), p.lease
	if c.Type == config.Push && !t.staleSince.IsZero() {
		until, stays := t.heldUntil(now, c)
		if !stays { // the report has expired
			return
		}
		lease = until
	}
	e.verdict, e.lease, e.damped = t, lease, t.dampedOnly(now, c)
	e.changedBy, e.cause, e.response, e.held = p.changedBy, p.cause, p.response, p.held
	if t.staleSince.IsZero() && !p.verdict.staleSince.IsZero() { // p was uncertain for lack of votes
		e.cause = p.changedBy
	}
	e.history = p.history
	e.history.transitions = slices.Clone(p.history.transitions)
	e.probeStart, e.unparkedAt, e.nextExpiryLog = p.probeStart, p.unparkedAt, p.nextExpiryLog
	e.usedAt, e.used, e.resumedAt = p.usedAt, p.used, p.resumedAt
	if p.sparse { // until its own interval applies, the results of p are not too old
		e.resumedAt = now
	}
	next := p.due
	if p.probing { // its result may be dropped
		next = p.probeStart.Add(c.Interval)
	}
	wait := min(next.Sub(now), c.Interval)
	switch {
	case wait <= 0:
		e.due = now
	case e.verdict.needsConfirm(now, c):
		e.due = now.Add(wait)
	default: // p may continue for a while: not at the same moment
		e.due = now.Add(time.Duration(rand.Float64() * float64(wait)))
	}
}

// inheritVerdict copies p's verdict to e, which has another probe, as provisional until e's own results confirm or change
// it. It returns false if p has no verdict, or if e is a push check, which has a lease, and is not held down.
func (e *targetState) inheritVerdict(p *targetState, now time.Time) bool {
	if p.verdict.verdict == Unknown {
		return false
	}
	c := e.prepared.check
	t := e.rebase(p, now)
	until, stays := t.heldUntil(now, c)
	if c.Type == config.Push {
		if !stays {
			return false
		}
		e.lease = until
	}
	t.staleSince, t.provisional = now, true
	e.verdict = t
	e.changedBy, e.cause = p.changedBy, p.changedBy
	e.cause.Reason = "the check has changed; before: " + p.changedBy.Reason
	e.response.smoothed = p.response.smoothed
	e.history.transitions = slices.Clone(p.history.transitions)
	e.held = t.visibleHold(now, c)
	return true
}

// rebase returns the verdict state of p for e, which replaces it. An agreement continues only if both are the same shared
// target. If the vantages decided about p and do not about e, a lack of votes does not matter to e.
func (e *targetState) rebase(p *targetState, now time.Time) verdictState {
	c := e.prepared.check
	t := p.verdict.rebase(now, c)
	if p.isShared() == e.isShared() && p.id == e.id {
		return t
	}
	if p.isShared() && !e.isShared() && !t.provisional && now.Sub(t.lastResultAt) <= staleAfter(c) {
		t.staleSince = time.Time{}
	}
	t.agreement = agreement{shared: e.isShared()}
	return t
}

// rebase adapts t to the thresholds of c, if another check made it: holds and slow start never exceed those of c.
func (t verdictState) rebase(now time.Time, c *config.Check) verdictState {
	if c.FlapDamping.Turns == 0 {
		t.damping = damping{}
	}
	t.damping.hold = min(t.damping.hold, c.FlapDamping.Max)
	if latest := now.Add(c.FlapDamping.Max); t.damping.until.After(latest) {
		t.damping.until = latest
	}
	if t.verdict == Up {
		t = t.advanceSlowStart(now, c)
	}
	return t
}
