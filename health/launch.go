package health

import "time"

// launchDue expires leases and launches the probes that are due. The returned channel delivers at the next due time; it is
// nil if only an event can launch another probe.
func (o *scheduler) launchDue(timer *time.Timer) (wake <-chan time.Time) {
	now := time.Now()
	o.recordHeartbeat(now)
	if !o.decideAt.IsZero() && !now.Before(o.decideAt) {
		o.decideShared(now)
	}
	next := o.decideAt
	for _, e := range []*targetState{o.expireLeases(now), o.launchProbes(now)} {
		if e != nil && (next.IsZero() || e.due.Before(next)) {
			next = e.due
		}
	}
	if next.IsZero() {
		return nil
	}
	timer.Reset(next.Sub(now))
	return timer.C
}

// expireLeases expires all leases that have ended. It returns the entry with the lease that ends next, if any.
func (o *scheduler) expireLeases(now time.Time) *targetState {
	for {
		e := o.leases.first()
		if e == nil || e.due.After(now) {
			return e
		}
		o.leases.remove(e)
		o.expire(e, now)
	}
}

// launchProbes launches due probes, the longest overdue first, within the limits. It returns the entry that is due next;
// nil: there is none, or the limit is reached and a report must come first.
func (o *scheduler) launchProbes(now time.Time) *targetState {
	for o.running < o.limit {
		e := o.waiting.first()
		if e == nil || e.due.After(now) {
			return e
		}
		o.waiting.remove(e)
		if l := e.fullLimiter(); l != nil {
			o.wait(e, l, now)
			continue
		}
		o.launch(e, now)
	}
	return nil
}

func (o *scheduler) launch(e *targetState, now time.Time) {
	e.probing, e.probeStart = true, now
	o.running++
	e.limiter.acquire(now)
	e.execLimiter.acquire(now)
	o.start(e)
}

// probeDone updates the limits after the probe of e and starts the next one. A program that is left keeps its slot among
// the programs.
func (o *scheduler) probeDone(e *targetState, left bool, now time.Time) {
	e.probing, e.stuck = false, left
	o.running--
	e.limiter.release(now)
	o.startNext(e.limiter, now)
	if !left {
		o.processExited(e, now)
	}
}

// processExited records that e has no running program and starts the next one.
func (o *scheduler) processExited(e *targetState, now time.Time) {
	e.stuck = false
	e.execLimiter.release(now)
	o.startNext(e.execLimiter, now)
}
