package health

import (
	"math"
	"slices"
	"time"

	"meridian/config"
)

// minPerAddress is how many probes of one address may always run at once.
const minPerAddress = 4

// headroom is by how much a lane is wider than its probes need when all of them hang:
// they do not come one by one.
const headroom = 1.5

// limiter is the probes that share something. Those of one address are as many at once as
// it takes for each of them to have its turn every interval when all hang, and no more,
// so that an address with many checks is not stormed. Those that are programs share this
// machine's processors, and are as many as the lane is wide.
type limiter struct {
	width               int            // of programs: how many run at once; else 0: see demand
	users               int            // targets of the address
	expectedConcurrency int64          // how many of its probes are under way at a time when all of them hang, in millionths
	longest             time.Duration  // the longest timeout of a target that was ever in it
	running             int            // probes of it under way, and programs that outlive them
	waiting             []*targetState // those that are due and wait for one of them to end, the first to go first
	lastActivity        time.Time      // when a probe of it last began or ended
}

// enter gives e the lane of its address, and a program that of programs as well.
func (o *scheduler) enter(e *targetState) {
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

// expectedConcurrency is for what part of its time, in millionths, a target of c is probed when
// each probe takes the whole timeout.
func expectedConcurrency(c *config.Check) int64 {
	if c.Interval == 0 { // it has no probes
		return 0
	}
	return int64(1e6 * float64(c.Timeout) / float64(c.Interval))
}

// limit is how many probes of the lane run at once, at most.
func (l *limiter) limit() int {
	if l.width > 0 {
		return l.width
	}
	return max(minPerAddress, int(math.Ceil(headroom*float64(l.expectedConcurrency)/1e6)))
}

// leave takes e's part in its lane away.
func (o *scheduler) leave(e *targetState) {
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

// full is the lane in which e has to wait; nil: it may go.
func (e *targetState) full() *limiter {
	for _, l := range [...]*limiter{e.execLimiter, e.limiter} {
		if l != nil && l.running >= l.limit() {
			return l
		}
	}
	return nil
}

// wait has e, which is due, wait for the other probes of l. The place that e leaves in
// another lane is the next one's.
func (o *scheduler) wait(e *targetState, l *limiter, now time.Time) {
	e.parked = l
	l.waiting = append(l.waiting, e)
	o.startNext(e.limiter, now)
	o.startNext(e.execLimiter, now)
}

// startNext lets the next of l go, if one waits and may; l may be nil.
func (o *scheduler) startNext(l *limiter, now time.Time) {
	if l == nil || len(l.waiting) == 0 || l.running >= l.limit() {
		return
	}
	e := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	e.parked, e.freed = nil, now
	o.waiting.add(e, e.due)
}

// acquire and gave note that a probe of the lane began, or ended; l may be nil.
func (l *limiter) acquire(now time.Time) { l.count(1, now) }
func (l *limiter) release(now time.Time) { l.count(-1, now) }

func (l *limiter) count(by int, now time.Time) {
	if l != nil {
		l.running += by
		l.lastActivity = now
	}
}

// waitingSince is until when it is for the lane's sake that nothing was heard of those that are
// parked in it: now, unless no probe has ended for longer than any may take. Then they wait
// for what does not end, and are silent like others.
func (l *limiter) waitingSince(now time.Time) time.Time {
	if until := l.lastActivity.Add(l.longest + spareTime); until.Before(now) {
		return until
	}
	return now
}

// spareTime is how much longer than its timeout a probe may take to end.
const spareTime = 2 * time.Second

// empty is l without its probes, all of which are to be counted anew.
func (l *limiter) empty() limiter {
	return limiter{width: l.width, users: l.users, expectedConcurrency: l.expectedConcurrency, longest: l.longest, lastActivity: l.lastActivity}
}
