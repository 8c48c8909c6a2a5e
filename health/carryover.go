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

// targetKey is what an operator knows a target by: it outlives a change of the check.
type targetKey struct {
	check string
	addr  netip.Addr
}

// predecessors is what there was of each label before a watch was entered. Where a member's own
// settings of a check have changed its label has too: then the label of the check that they are
// settings of finds what they were, if there was one such target and the new watch has it no more.
type predecessors struct {
	entries  map[targetKey]*targetState
	replaced map[targetKey][]*targetState // by the label of the base check
	memories map[targetKey]identity
}

// predecessors is made of the targets that are watched and of what is remembered, for a watch of targets.
// Where a check has just changed two targets may have one label: the one that is
// down counts, lest a change clear what holds it; of memories the newest.
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
		of := m.label()
		if was, ok := a.memories[of]; !ok || m.At.After(o.saved[was].At) {
			a.memories[of] = id
		}
	}
	return a
}

// noteReplaced notes the entries that a watch of targets does not have.
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

// baseName is the name of the check of the file that c is, or has settings for.
func baseName(c *config.Check) string { return cmp.Or(c.Base, c.Name) }

// predecessor is the target that e, which is new, takes the place of; nil: there is none.
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

// canCarryOver reports whether e knows something that another check of its name may go
// on with. What composites know follows from their parts.
func (e *targetState) canCarryOver() bool {
	return len(e.parts) == 0 && (e.verdict.verdict != Unknown || !e.verdict.since.IsZero() || e.inconclusive.failure != nil)
}

// carryOver gives e, which is new, what is known of its target. Verdict, row and holds
// belong to the name of a check and an address: an operator who edits a check has
// cleared nothing, and learnt nothing of the endpoint.
//
//	there is                               it was probed as  what e has of it
//	-------------------------------------  ----------------  ------------------------------------
//	a target that it takes the place of    e is              all, judged by e's thresholds
//	a target that it takes the place of    another           the verdict, in doubt, and the holds
//	a memory of its own definition         e is              all, or in doubt where it is old
//	a memory of its label                  e is              the same
//	a memory of its label                  another           the verdict, in doubt, and the holds
//	none of these; or it is a composite    any               nothing
func (o *scheduler) carryOver(e *targetState, now time.Time) {
	if len(e.prepared.parts) > 0 {
		return
	}
	of := targetKey{e.prepared.check.Name, e.addr}
	id := e.identity
	if _, ok := o.saved[id]; !ok {
		id = o.before.memories[of]
	}
	m, remembered := o.saved[id]
	remembered = remembered && m.validate(now) == nil // it may have waited for long
	delete(o.saved, id)                               // e knows as much, or better
	changed := false
	switch p := o.before.predecessor(e); {
	case p != nil && p.prepared.probeFingerprint == e.prepared.probeFingerprint:
		e.inheritAll(p, now)
		o.inheritFailure(e, p, now)
	case p != nil:
		changed = e.inheritVerdict(p, now)
	case remembered && (id == e.identity || m.ProbeFingerprint == hex.EncodeToString(e.prepared.probeFingerprint[:])):
		e.restore(m, now)
	case remembered:
		was := &targetState{prepared: e.prepared} // as if it were e's own
		was.restore(m, now)
		changed = e.inheritVerdict(was, now)
	}
	switch {
	case changed:
		o.provisional.changed++
	case e.verdict.provisional:
		o.provisional.remembered++
	case e.due.IsZero() && e.verdict.verdict != Unknown: // a fresh memory: nobody waits for its first probe
		e.due = now.Add(time.Duration(rand.Float64() * float64(e.prepared.check.Interval)))
		e.spread = true
		e.freed = now // that nothing was heard until now is nobody's silence
	}
}

// inheritAll has e, which probes as p does, go on from all that p knows.
func (e *targetState) inheritAll(p *targetState, now time.Time) {
	c := e.prepared.check
	t, lease := p.verdict.rebase(now, c), p.lease
	if c.Type == config.Push && !t.staleSince.IsZero() {
		until, stays := t.heldUntil(now, c)
		if !stays { // nothing reported holds any more
			return
		}
		lease = until
	}
	e.verdict, e.lease, e.damped = t, lease, t.dampedOnly(now, c)
	e.changedBy, e.cause, e.response, e.held = p.changedBy, p.cause, p.response, p.held
	e.history = p.history
	e.history.transitions = slices.Clone(p.history.transitions)
	e.began, e.freed, e.nextExpiryLog = p.began, p.freed, p.nextExpiryLog
	next := p.due
	if p.probing { // its result may come to nobody
		next = p.began.Add(c.Interval)
	}
	wait := min(next.Sub(now), c.Interval)
	switch {
	case wait <= 0:
		e.due = now
	case e.verdict.needsConfirm(now, c):
		e.due = now.Add(wait)
	default: // p may go on for a while: not at the same moment
		e.due = now.Add(time.Duration(rand.Float64() * float64(wait)))
	}
}

// inheritVerdict has e, which probes something else than p did, stand by p's verdict until its
// own results turn it. It reports false where there is none to stand by, and where e
// waits for reports, which have a lease, and nothing detains it.
func (e *targetState) inheritVerdict(p *targetState, now time.Time) bool {
	if p.verdict.verdict == Unknown {
		return false
	}
	c := e.prepared.check
	t := p.verdict.rebase(now, c)
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

// rebase is t by c, where it was counted by a check of other thresholds: what it would
// not be held down by it is held by no longer, nor starts more slowly.
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
