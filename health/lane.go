package health

import (
	"math"
	"slices"
	"time"

	"meridian/config"
)

// minCrowd is how many probes of one address may always run at once.
const minCrowd = 4

// spare is by how much a lane is wider than its probes need when all of them hang:
// they do not come one by one.
const spare = 1.5

// lane is the probes that share something. Those of one address are as many at once as
// it takes for each of them to have its turn every interval when all hang, and no more,
// so that an address with many checks is not stormed. Those that are programs share this
// machine's processors, and are as many as the lane is wide.
type lane struct {
	width   int           // of programs: how many run at once; else 0: see demand
	users   int           // targets of the address
	demand  int64         // how many of its probes are under way at a time when all of them hang, in millionths
	longest time.Duration // the longest timeout of a target that was ever in it
	running int           // probes of it under way, and programs that outlive them
	parked  []*entry      // those that are due and wait for one of them to end, the first to go first
	moved   time.Time     // when a probe of it last began or ended
}

// enter gives e the lane of its address, and a program that of programs as well.
func (o *owner) enter(e *entry) {
	l := o.lanes[e.addr]
	if l == nil {
		l = &lane{}
		o.lanes[e.addr] = l
	}
	l.users++
	l.demand += demand(e.checker.check)
	l.longest = max(l.longest, e.checker.check.Timeout)
	e.lane = l
	if e.checker.check.Type == config.Exec {
		e.room = &o.programs
		o.programs.longest = max(o.programs.longest, e.checker.check.Timeout)
	}
}

// demand is for what part of its time, in millionths, a target of c is probed when
// each probe takes the whole timeout.
func demand(c *config.Check) int64 {
	if c.Interval == 0 { // it has no probes
		return 0
	}
	return int64(1e6 * float64(c.Timeout) / float64(c.Interval))
}

// crowd is how many probes of the lane run at once, at most.
func (l *lane) crowd() int {
	if l.width > 0 {
		return l.width
	}
	return max(minCrowd, int(math.Ceil(spare*float64(l.demand)/1e6)))
}

// leave takes e's part in its lane away.
func (o *owner) leave(e *entry) {
	if e.parked != nil {
		e.parked.parked = slices.DeleteFunc(e.parked.parked, func(p *entry) bool { return p == e })
		e.parked = nil
	}
	l := e.lane
	l.demand -= demand(e.checker.check)
	if l.users--; l.users == 0 {
		delete(o.lanes, e.addr)
	}
}

// full is the lane in which e has to wait; nil: it may go.
func (e *entry) full() *lane {
	for _, l := range [...]*lane{e.room, e.lane} {
		if l != nil && l.running >= l.crowd() {
			return l
		}
	}
	return nil
}

// park has e, which is due, wait for the other probes of l. The place that e leaves in
// another lane is the next one's.
func (o *owner) park(e *entry, l *lane, now time.Time) {
	e.parked = l
	l.parked = append(l.parked, e)
	o.advance(e.lane, now)
	o.advance(e.room, now)
}

// advance lets the next of l go, if one waits and may; l may be nil.
func (o *owner) advance(l *lane, now time.Time) {
	if l == nil || len(l.parked) == 0 || l.running >= l.crowd() {
		return
	}
	e := l.parked[0]
	l.parked = slices.Delete(l.parked, 0, 1)
	e.parked, e.freed = nil, now
	o.waiting.add(e, e.due)
}

// took and gave note that a probe of the lane began, or ended; l may be nil.
func (l *lane) took(now time.Time) { l.count(1, now) }
func (l *lane) gave(now time.Time) { l.count(-1, now) }

func (l *lane) count(by int, now time.Time) {
	if l != nil {
		l.running += by
		l.moved = now
	}
}

// held is until when it is for the lane's sake that nothing was heard of those that are
// parked in it: now, unless no probe has ended for longer than any may take. Then they wait
// for what does not end, and are silent like others.
func (l *lane) held(now time.Time) time.Time {
	if until := l.moved.Add(l.longest + spareTime); until.Before(now) {
		return until
	}
	return now
}

// spareTime is how much longer than its timeout a probe may take to end.
const spareTime = 2 * time.Second

// empty is l without its probes, all of which are to be counted anew.
func (l *lane) empty() lane {
	return lane{width: l.width, users: l.users, demand: l.demand, longest: l.longest, moved: l.moved}
}
