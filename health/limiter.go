package health

import (
	"math"
	"slices"
	"time"

	"meridian/config"
)

// minPerAddress is the number of probes of one address that may always run at once.
const minPerAddress = 4

// headroom is the factor of a limit above its expected concurrency: probes do not start evenly.
const headroom = 1.5

// limiter limits concurrent probes that share a resource. The probes of one address run as many at once as each needs to
// run every interval even if all hang, and no more, so that an address with many checks is not flooded. Programs share this
// machine's processors and have a fixed width.
type limiter struct {
	width               int            // of programs: how many run at once; else 0: see expectedConcurrency
	users               int            // targets of the address
	expectedConcurrency int64          // the mean number of concurrent probes if all hang, in millionths
	longest             time.Duration  // the longest timeout of any target that used it
	running             int            // running probes, and programs that outlive them
	waiting             []*targetState // due targets that wait for a slot, in order
	lastActivity        time.Time      // when a probe of it last began or ended
}

// joinLimiter assigns e the limiter of its address, and for a program that of all programs.
func (o *scheduler) joinLimiter(e *targetState) {
	l := o.limiters[e.addr]
	if l == nil {
		l = &limiter{}
		o.limiters[e.addr] = l
	}
	l.users++
	l.expectedConcurrency += expectedConcurrency(e.prepared.check)
	l.longest = max(l.longest, e.prepared.check.Timeout)
	e.limiter = l
	if e.prepared.check.Type == config.Exec {
		e.execLimiter = &o.programs
		o.programs.longest = max(o.programs.longest, e.prepared.check.Timeout)
	}
}

// expectedConcurrency returns the fraction of time, in millionths, that a target of c is being probed if each probe takes
// the whole timeout.
func expectedConcurrency(c *config.Check) int64 {
	if c.Interval == 0 { // it has no probes
		return 0
	}
	return int64(1e6 * float64(c.Timeout) / float64(c.Interval))
}

// limit returns how many probes of the limiter may run at once.
func (l *limiter) limit() int {
	if l.width > 0 {
		return l.width
	}
	return max(minPerAddress, int(math.Ceil(headroom*float64(l.expectedConcurrency)/1e6)))
}

// leaveLimiter removes e from its limiter.
func (o *scheduler) leaveLimiter(e *targetState) {
	if e.parked != nil {
		e.parked.waiting = slices.DeleteFunc(e.parked.waiting, func(p *targetState) bool { return p == e })
		e.parked = nil
	}
	l := e.limiter
	l.expectedConcurrency -= expectedConcurrency(e.prepared.check)
	if l.users--; l.users == 0 {
		delete(o.limiters, e.addr)
	}
}

// fullLimiter returns the limiter that e has to wait for; nil: it may start.
func (e *targetState) fullLimiter() *limiter {
	for _, l := range [...]*limiter{e.execLimiter, e.limiter} {
		if l != nil && l.running >= l.limit() {
			return l
		}
	}
	return nil
}

// wait queues e, which is due, in l. Its slot in another limiter goes to the next target.
func (o *scheduler) wait(e *targetState, l *limiter, now time.Time) {
	e.parked = l
	l.waiting = append(l.waiting, e)
	o.startNext(e.limiter, now)
	o.startNext(e.execLimiter, now)
}

// startNext starts the next queued probe of l within the limit; l may be nil.
func (o *scheduler) startNext(l *limiter, now time.Time) {
	if l == nil || len(l.waiting) == 0 || l.running >= l.limit() {
		return
	}
	e := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	e.parked, e.unparkedAt = nil, now
	o.waiting.add(e, e.due)
}

// acquire and release record that a probe of the limiter began or ended; l may be nil.
func (l *limiter) acquire(now time.Time) { l.count(1, now) }
func (l *limiter) release(now time.Time) { l.count(-1, now) }

func (l *limiter) count(by int, now time.Time) {
	if l != nil {
		l.running += by
		l.lastActivity = now
	}
}

// waitingSince returns the time before which missing results of the targets parked here are due to the limiter: now, unless
// no probe has ended for longer than any may take. Then they wait for a probe that hangs, and become stale like other
// targets.
func (l *limiter) waitingSince(now time.Time) time.Time {
	if until := l.lastActivity.Add(l.longest + spareTime); until.Before(now) {
		return until
	}
	return now
}

// spareTime is the time beyond its timeout that a probe may take to end.
const spareTime = 2 * time.Second

// empty returns a copy of l without probes, all of which are counted again.
func (l *limiter) empty() limiter {
	return limiter{width: l.width, users: l.users, expectedConcurrency: l.expectedConcurrency, longest: l.longest, lastActivity: l.lastActivity}
}
