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

// label is what an operator knows a target by: it outlives a change of the check.
type label struct {
	check string
	addr  netip.Addr
}

// ancestry is what there was of each label before a watch was entered. Where a member's own
// settings of a check have changed its label has too: then the label of the check that they are
// settings of finds what they were, if there was one such target and the new watch has it no more.
type ancestry struct {
	entries  map[label]*entry
	replaced map[label][]*entry // by the label of the base check
	memories map[label]identity
}

// ancestry is made of the targets that are watched and of what is remembered, for a watch of targets.
// Where a check has just changed two targets may have one label: the one that is
// down counts, lest a change clear what holds it; of memories the newest.
func (o *owner) ancestry(targets []Target) ancestry {
	a := ancestry{make(map[label]*entry), make(map[label][]*entry), make(map[label]identity)}
	for _, e := range o.entries {
		of := label{e.name(), e.addr}
		if e.inheritable() && (a.entries[of] == nil || e.tally.verdict == Down) {
			a.entries[of] = e
		}
	}
	a.noteReplaced(o.entries, targets)
	for id, m := range o.memories {
		of := m.label()
		if was, ok := a.memories[of]; !ok || m.At.After(o.memories[was].At) {
			a.memories[of] = id
		}
	}
	return a
}

// noteReplaced notes the entries that a watch of targets does not have.
func (a *ancestry) noteReplaced(entries map[identity]*entry, targets []Target) {
	kept := make(map[label]bool, len(targets))
	for _, t := range targets {
		kept[label{t.Check.Name, t.Addr.Unmap()}] = true
	}
	for _, e := range entries {
		if e.inheritable() && !kept[label{e.name(), e.addr}] {
			of := label{baseName(e.check()), e.addr}
			a.replaced[of] = append(a.replaced[of], e)
		}
	}
}

// baseName is the name of the check of the file that c is, or has settings for.
func baseName(c *config.Check) string { return cmp.Or(c.Base, c.Name) }

// predecessor is the target that e, which is new, takes the place of; nil: there is none.
func (a *ancestry) predecessor(e *entry) *entry {
	c := e.checker.check
	if p := a.entries[label{c.Name, e.addr}]; p != nil {
		return p
	}
	if replaced := a.replaced[label{baseName(c), e.addr}]; len(replaced) == 1 {
		return replaced[0]
	}
	return nil
}

// inheritable reports whether e knows something that another check of its name may go
// on with. What composites know follows from their parts.
func (e *entry) inheritable() bool {
	return len(e.parts) == 0 && (e.tally.verdict != Unknown || !e.tally.since.IsZero() || e.inconclusive.failure != nil)
}

// inherit gives e, which is new, what is known of its target. Verdict, row and holds
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
func (o *owner) inherit(e *entry, now time.Time) {
	if len(e.checker.parts) > 0 {
		return
	}
	of := label{e.checker.check.Name, e.addr}
	id := e.identity
	if _, ok := o.memories[id]; !ok {
		id = o.before.memories[of]
	}
	m, remembered := o.memories[id]
	remembered = remembered && m.possible(now) == nil // it may have waited for long
	delete(o.memories, id)                            // e knows as much, or better
	changed := false
	switch p := o.before.predecessor(e); {
	case p != nil && p.checker.probed == e.checker.probed:
		e.continues(p, now)
		o.inheritFailure(e, p, now)
	case p != nil:
		changed = e.doubts(p, now)
	case remembered && (id == e.identity || m.Probed == hex.EncodeToString(e.checker.probed[:])):
		e.recall(m, now)
	case remembered:
		was := &entry{checker: e.checker} // as if it were e's own
		was.recall(m, now)
		changed = e.doubts(was, now)
	}
	switch {
	case changed:
		o.doubts.changed++
	case e.tally.doubted:
		o.doubts.remembered++
	case e.due.IsZero() && e.tally.verdict != Unknown: // a fresh memory: nobody waits for its first probe
		e.due = now.Add(time.Duration(rand.Float64() * float64(e.checker.check.Interval)))
		e.spread = true
		e.freed = now // that nothing was heard until now is nobody's silence
	}
}

// continues has e, which probes as p does, go on from all that p knows.
func (e *entry) continues(p *entry, now time.Time) {
	c := e.checker.check
	t, lease := p.tally.judged(now, c), p.lease
	if c.Type == config.Push && !t.lost.IsZero() {
		until, stays := t.detained(now, c)
		if !stays { // nothing reported holds any more
			return
		}
		lease = until
	}
	e.tally, e.lease, e.damped = t, lease, t.dampedOnly(now, c)
	e.turnedBy, e.cause, e.response, e.held = p.turnedBy, p.cause, p.response, p.held
	e.history = p.history
	e.history.turns = slices.Clone(p.history.turns)
	e.began, e.freed, e.quiet = p.began, p.freed, p.quiet
	next := p.due
	if p.probing { // its result may come to nobody
		next = p.began.Add(c.Interval)
	}
	wait := min(next.Sub(now), c.Interval)
	switch {
	case wait <= 0:
		e.due = now
	case e.tally.confirms(now, c):
		e.due = now.Add(wait)
	default: // p may go on for a while: not at the same moment
		e.due = now.Add(time.Duration(rand.Float64() * float64(wait)))
	}
}

// doubts has e, which probes something else than p did, stand by p's verdict until its
// own results turn it. It reports false where there is none to stand by, and where e
// waits for reports, which have a lease, and nothing detains it.
func (e *entry) doubts(p *entry, now time.Time) bool {
	if p.tally.verdict == Unknown {
		return false
	}
	c := e.checker.check
	t := p.tally.judged(now, c)
	until, stays := t.detained(now, c)
	if c.Type == config.Push {
		if !stays {
			return false
		}
		e.lease = until
	}
	t.lost, t.doubted = now, true
	e.tally = t
	e.turnedBy, e.cause = p.turnedBy, p.turnedBy
	e.cause.Reason = "the check has changed; before: " + p.turnedBy.Reason
	e.response.smoothed = p.response.smoothed
	e.history.turns = slices.Clone(p.history.turns)
	e.held = t.holds(now, c)
	return true
}

// judged is t by c, where it was counted by a check of other thresholds: what it would
// not be held down by it is held by no longer, nor starts more slowly.
func (t tally) judged(now time.Time, c *config.Check) tally {
	if c.FlapDamping.Turns == 0 {
		t.damping = damping{}
	}
	t.damping.hold = min(t.damping.hold, c.FlapDamping.Max)
	if latest := now.Add(c.FlapDamping.Max); t.damping.until.After(latest) {
		t.damping.until = latest
	}
	if t.verdict == Up {
		t = t.grow(now, c)
	}
	return t
}
