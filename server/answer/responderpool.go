package answer

import (
	"sync"
	"time"
)

// responderPool holds all responders of an engine. TCP connections share the idle ones: a
// connection has one only while it computes answers.
type responderPool struct {
	idle chan *Responder // has room for as many as there are slots, see tcpSlots

	mu          sync.Mutex // guards all below
	all         []*Responder
	removed     rawCounts // the counts of removed responders
	removedTook [TransportCount]durations
}

// add adds a responder.
func (c *responderPool) add(e *Engine) *Responder { return c.register(newResponder(e, e.draw)) }

// register adds a new responder.
func (c *responderPool) register(r *Responder) *Responder {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, r)
	return r
}

// remove removes a responder that its worker no longer uses.
func (c *responderPool) remove(r *Responder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.all {
		if c.all[i] == r {
			c.all[i] = c.all[len(c.all)-1]
			c.all = c.all[:len(c.all)-1]
			if r.silent {
				return
			}
			r.counts.addTo(c.removed[:])
			if r.ring != nil {
				r.ring.closed.Store(true)
			}
			if r.reports != nil {
				r.reports.closed.Store(true)
			}
			if r.observations != nil {
				r.observations.closed.Store(true)
			}
			if r.sampler.samples != nil {
				r.sampler.samples.closed.Store(true)
			}
			for t := range r.took {
				c.removedTook[t].merge(&r.took[t])
			}
			if held := r.slot.Load(); held != nil && held.answers != nil {
				held.active.answers.remove(held.answers)
				if held.canary != nil {
					held.canary.active.answers.remove(held.canary.answers)
				}
			}
			return
		}
	}
}

// get returns an idle responder or creates one. The caller has a slot and puts the responder back
// before it releases the slot: there are never more responders than slots.
func (c *responderPool) get(e *Engine) *Responder {
	select {
	case r := <-c.idle:
		return r
	default:
		return c.add(e)
	}
}

// put makes r idle, or removes it if there is no room. What its caller has not taken is not kept: the next one answers
// another client.
func (c *responderPool) put(r *Responder) {
	r.transfer, r.refused, r.update = nil, nil, nil
	select {
	case c.idle <- r:
	default:
		c.remove(r)
	}
}

// size returns the number of responders.
func (c *responderPool) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// count adds the counts of all responders to sums.
func (c *responderPool) count(sums *rawCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*sums = c.removed
	for _, r := range c.all {
		if !r.silent {
			r.counts.addTo(sums[:])
		}
	}
}

// retirePoll is the interval of waitUnused: a batch of answers takes microseconds.
const retirePoll = 100 * time.Microsecond

// waitUnused waits until no responder reads before, which next has replaced, and removes it
// from idle responders. Responders added later never hold the old snapshot.
func (c *responderPool) waitUnused(before, next *activeSnapshot) {
	c.mu.Lock()
	all := append([]*Responder(nil), c.all...)
	c.mu.Unlock()
	for _, r := range all {
		r.waitUnused(before, next)
	}
}

// waitUnused waits until r does not read before. A responder that has ended a batch since the
// first look has started the next one on the current snapshot.
func (r *Responder) waitUnused(before, next *activeSnapshot) {
	closed := r.closed.Load()
	for {
		held := r.slot.Load()
		switch {
		case held == nil && r.closed.Load() != closed:
			return
		case held != nil && held.active != before:
			return
		case held != nil && r.slot.CompareAndSwap(held, held.movedTo(next)):
			return
		}
		time.Sleep(retirePoll)
	}
}
