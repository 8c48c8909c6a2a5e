package health

import (
	"math"
	"slices"

	"meridian/config"
)

// minCrowd is how many probes of one address may always run at once.
const minCrowd = 4

// spare is by how much a lane is wider than its probes need when all of them hang:
// they do not come one by one.
const spare = 1.5

// lane is the probes of one address. It is as wide as it takes for each of them to
// have its turn every interval when all hang, and no wider, so that an address with
// many checks is not stormed.
type lane struct {
	users   int      // targets of the address
	demand  int64    // how many of its probes are under way at a time when all of them hang, in millionths
	running int      // probes of it under way
	parked  []*entry // those that are due and wait for one of them to end, the first to go first
}

// enter gives e the lane of its address.
func (o *owner) enter(e *entry) {
	l := o.lanes[e.addr]
	if l == nil {
		l = &lane{}
		o.lanes[e.addr] = l
	}
	l.users++
	l.demand += demand(e.checker.check)
	e.lane = l
}

// demand is for what part of its time, in millionths, a target of c is probed when
// each probe takes the whole timeout.
func demand(c *config.Check) int64 {
	if c.Interval == 0 { // it has no probes
		return 0
	}
	return int64(1e6 * float64(c.Timeout) / float64(c.Interval))
}

// crowd is how many probes of the address run at once, at most.
func (l *lane) crowd() int {
	return max(minCrowd, int(math.Ceil(spare*float64(l.demand)/1e6)))
}

// leave takes e's part in its lane away.
func (o *owner) leave(e *entry) {
	l := e.lane
	l.parked = slices.DeleteFunc(l.parked, func(p *entry) bool { return p == e })
	l.demand -= demand(e.checker.check)
	if l.users--; l.users == 0 {
		delete(o.lanes, e.addr)
	}
}

// park has e, which is due, wait for the other probes of its address.
func (l *lane) park(e *entry) {
	e.parked = true
	l.parked = append(l.parked, e)
}

// unpark is the next that may go; nil when none waits.
func (l *lane) unpark() *entry {
	if len(l.parked) == 0 {
		return nil
	}
	e := l.parked[0]
	l.parked = slices.Delete(l.parked, 0, 1)
	e.parked = false
	return e
}
