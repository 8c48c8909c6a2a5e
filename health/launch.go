package health

import "time"

// launchDue ends the leases that have run out and launches the probes that are due. The
// channel that it returns delivers when the next one is; it is nil when only an event can
// let one begin.
func (o *scheduler) launchDue(timer *time.Timer) (wake <-chan time.Time) {
	now := time.Now()
	o.recordHeartbeat(now)
	lease, probe := o.expireLeases(now), o.launchProbes(now)
	if lease == nil || probe != nil && probe.due.Before(lease.due) {
		lease = probe
	}
	if lease == nil {
		return nil
	}
	timer.Reset(lease.due.Sub(now))
	return timer.C
}

// expireLeases lets what was reported for a time that is over hold no more. It returns the
// entry whose lease ends next, if any.
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

// launchProbes launches the probes that are due, the longest overdue first, as far as the
// limits allow. It returns the entry that is due next; nil: there is none, or the limit
// is reached, and a report lets the next one begin.
func (o *scheduler) launchProbes(now time.Time) *targetState {
	for o.running < o.limit {
		e := o.waiting.first()
		if e == nil || e.due.After(now) {
			return e
		}
		o.waiting.remove(e)
		if l := e.full(); l != nil {
			o.wait(e, l, now)
			continue
		}
		o.launch(e, now)
	}
	return nil
}

func (o *scheduler) launch(e *targetState, now time.Time) {
	e.probing, e.began = true, now
	o.running++
	e.limiter.acquire(now)
	e.execLimiter.acquire(now)
	o.start(e)
}

// probeDone takes e, whose probe has ended, off the count, and lets the next go. A program
// that is left keeps its place among the programs.
func (o *scheduler) probeDone(e *targetState, left bool, now time.Time) {
	e.probing, e.stuck = false, left
	o.running--
	e.limiter.release(now)
	o.startNext(e.limiter, now)
	if !left {
		o.processExited(e, now)
	}
}

// processExited notes that no program of e runs any more.
func (o *scheduler) processExited(e *targetState, now time.Time) {
	e.stuck = false
	e.execLimiter.release(now)
	o.startNext(e.execLimiter, now)
}
