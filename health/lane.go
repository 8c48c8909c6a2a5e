package health

import "slices"

// maxCrowd is how many probes of one address run at once, whatever the checks,
// so that an address with many checks is not stormed.
const maxCrowd = 4

// lane is the probes of one address.
type lane struct {
	users   int      // targets of the address
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
	e.lane = l
}

// leave takes e's part in its lane away.
func (o *owner) leave(e *entry) {
	l := e.lane
	l.parked = slices.DeleteFunc(l.parked, func(p *entry) bool { return p == e })
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
