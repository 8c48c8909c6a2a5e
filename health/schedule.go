package health

import "time"

// launchDue ends the leases that have run out and launches the probes that are due. The
// channel that it returns delivers when the next one is; it is nil when only an event can
// let one begin.
func (o *owner) launchDue(timer *time.Timer) (wake <-chan time.Time) {
	now := time.Now()
	o.beats(now)
	lease, probe := o.endLeases(now), o.launchProbes(now)
	if lease == nil || probe != nil && probe.due.Before(lease.due) {
		lease = probe
	}
	if lease == nil {
		return nil
	}
	timer.Reset(lease.due.Sub(now))
	return timer.C
}

// endLeases lets what was reported for a time that is over hold no more. It returns the
// entry whose lease ends next, if any.
func (o *owner) endLeases(now time.Time) *entry {
	for {
		e := o.leases.first()
		if e == nil || e.due.After(now) {
			return e
		}
		o.leases.remove(e)
		o.expire(e, now)
	}
}

// launchProbes launches the probes that are due, the longest overdue first, as far as the
// limits allow. It returns the entry that is due next; nil: there is none, or the limit
// is reached, and a report lets the next one begin.
func (o *owner) launchProbes(now time.Time) *entry {
	for o.running < o.limit {
		e := o.waiting.first()
		if e == nil || e.due.After(now) {
			return e
		}
		o.waiting.remove(e)
		if l := e.full(); l != nil {
			o.park(e, l, now)
			continue
		}
		o.launch(e, now)
	}
	return nil
}

func (o *owner) launch(e *entry, now time.Time) {
	e.probing, e.began = true, now
	o.running++
	e.lane.took(now)
	e.room.took(now)
	o.start(e)
}

// landed takes e, whose probe has ended, off the count, and lets the next go. A program
// that is left keeps its place among the programs.
func (o *owner) landed(e *entry, left bool, now time.Time) {
	e.probing, e.stuck = false, left
	o.running--
	e.lane.gave(now)
	o.advance(e.lane, now)
	if !left {
		o.vacated(e, now)
	}
}

// vacated notes that no program of e runs any more.
func (o *owner) vacated(e *entry, now time.Time) {
	e.stuck = false
	e.room.gave(now)
	o.advance(e.room, now)
}
