package health

import (
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// idleCheck returns c with the interval of idle targets; nil if idle is off.
func idleCheck(c *config.Check) *config.Check {
	if c.Idle.After == 0 {
		return nil
	}
	idle := *c
	idle.Interval = c.IdleInterval()
	return &idle
}

// MarkUsed records that queries have asked for the targets at the indexes. Those that are idle are probed at once, and then
// at the normal interval. It returns false if the prober could not be reached.
func (w *Watch) MarkUsed(indexes []int) bool {
	return w.prober.call(func(o *scheduler) {
		if w.entries == nil {
			return
		}
		now := time.Now()
		for _, i := range indexes {
			o.markUsed(w.entries[i], now)
		}
	})
}

// markUsed records that a query has asked for e, and so for its leaf targets.
func (o *scheduler) markUsed(e *targetState, now time.Time) {
	for _, leaf := range append(e.leafTargets(make(map[*targetState]bool)), e) {
		leaf.usedAt, leaf.used = now, true
		if !leaf.idleSince.IsZero() {
			o.resume(leaf, now)
		}
	}
}

// resume ends the idle interval of e: its next probe is due when it would have been at the normal interval.
func (o *scheduler) resume(e *targetState, now time.Time) {
	e.idleSince, e.resumedAt = time.Time{}, now
	if e.probing || e.stuck || e.parked != nil {
		return
	}
	o.waiting.remove(e)
	o.waiting.add(e, e.probeStart.Add(e.prepared.check.Interval))
}

// interval returns the time until the next probe of e, which was just probed, and records whether the idle interval
// applies. A target with probes that may change its state soon has the normal interval, so that the state is settled before
// the next query.
func (e *targetState) interval(now time.Time) time.Duration {
	idle := e.prepared.idle
	if idle == nil || now.Sub(e.usedAt) < idle.Idle.After || !e.verdict.settled() {
		e.sparse, e.idleSince = false, time.Time{}
		return e.prepared.check.Interval
	}
	e.sparse = true
	if e.idleSince.IsZero() {
		e.idleSince = now
	}
	return idle.Interval
}

// settled reports whether the last results agree with the verdict, and nothing but an operator's clear or other results can
// change it.
func (t verdictState) settled() bool {
	switch t.verdict {
	case Up:
		return t.last == probe.Passed && t.slowStartSince.IsZero()
	case Down:
		return t.last == probe.Failed
	}
	return false
}

// pacedCheck returns the check with the interval at which the last results of e came: what counts as a gap between results
// depends on it.
func (e *targetState) pacedCheck() *config.Check {
	if e.sparse {
		return e.prepared.idle
	}
	return e.prepared.check
}
