package health

import (
	"net/netip"
	"time"
)

// label is what an operator knows a target by: it outlives a change of the check.
type label struct {
	check string
	addr  netip.Addr
}

// predecessor is a target that is down.
type predecessor struct {
	tally tally
	cause Result
}

// downs are the targets that are down, those that nobody watches yet
// included. Where a check has just changed two targets may have one label: the
// one that is down counts, and what was remembered only where none is watched.
func (o *owner) downs() map[label]predecessor {
	downs := make(map[label]predecessor)
	for id, m := range o.memories {
		if t := m.tally(); t.verdict == Down {
			downs[label{m.Check, id.addr}] = predecessor{t, m.cause()}
		}
	}
	for _, e := range o.entries {
		if e.tally.verdict != Down {
			delete(downs, label{e.name(), e.addr})
		}
	}
	for _, e := range o.entries {
		if e.tally.verdict == Down && len(e.parts) == 0 {
			downs[label{e.name(), e.addr}] = predecessor{e.tally, e.turnedBy}
		}
	}
	return downs
}

// succeed has e, which is new, stay down where a target of its label is, and
// something detains that by e's own check: an operator who changes a check has
// cleared nothing. Until a result comes e is uncertain.
func (o *owner) succeed(e *entry, now time.Time) {
	p, ok := o.before[label{e.checker.check.Name, e.addr}]
	if !ok {
		return
	}
	c := e.checker.check
	if c.FlapDamping.Turns == 0 {
		p.tally.damping = damping{}
	}
	until, stays := p.tally.detained(now, c)
	if !stays {
		return
	}
	e.tally = p.tally
	e.tally.lost, e.tally.doubted = now, false
	e.turnedBy, e.cause = p.cause, p.cause
	e.cause.Reason = "the check has changed; before: " + p.cause.Reason
	if _, ok := e.push(); ok {
		e.lease = until
	}
}
