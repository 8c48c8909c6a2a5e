package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"meridian/config"
)

// Watch is a subscription to the verdicts of its targets. Its methods are safe for concurrent use, but not from within its
// own callback.
type Watch struct {
	prober   *Prober
	targets  []Target
	callback func([]Transition)
	pending  atomic.Int64  // targets without a delivered first verdict
	settled  chan struct{} // closed when pending reaches zero
	closing  atomic.Bool   // no more notifications

	// Owned by the scheduler.
	entries []*targetState // by target; nil once it is closed
	known   []bool         // by target: a verdict was delivered, or none will come
	queued  []Transition   // not delivered yet
	idle    []int          // targets for which no verdict will come, not counted yet
}

// Watch subscribes to targets. The scheduler calls callback: first, before Watch returns, with the known verdicts of
// targets that other watches already have; afterwards with every transition. It must not block, nor call the prober or the
// watch; it may keep the slice. Close ends the subscription; targets without watches are dropped.
//
// The error reports a check that cannot be prepared (see [Prepare]), or that Run has returned.
func (p *Prober) Watch(targets []Target, callback func([]Transition)) (*Watch, error) {
	checks, err := prepareChecks(targets)
	if err != nil {
		return nil, fmt.Errorf("cannot watch: %w", err)
	}
	w := &Watch{
		prober:   p,
		targets:  slices.Clone(targets),
		callback: callback,
		settled:  make(chan struct{}),
		entries:  make([]*targetState, len(targets)),
		known:    make([]bool, len(targets)),
	}
	w.pending.Store(int64(len(targets)))
	if !p.call(func(o *scheduler) { o.subscribe(w, checks) }) {
		w.closing.Store(true)
		return nil, errors.New("cannot watch: the prober is stopped, stalled or panicked on the call; see the log")
	}
	return w, nil
}

// subscribe adds w's targets, new ones due at once, and notifies w of the verdicts of the others.
func (o *scheduler) subscribe(w *Watch, checks []*preparedCheck) {
	now, done := time.Now(), false
	o.before = o.predecessors(w.targets)
	defer func() {
		o.before = predecessors{}
		if !done { // it panicked, and the caller cannot close w
			o.unsubscribe(w)
		}
	}()
	for i, t := range w.targets {
		e := o.entry(identity{checks[i].fingerprint, t.Addr.Unmap()}, checks[i], now)
		e.subs = append(e.subs, sub{w, i})
		w.entries[i] = e
		if v, _ := e.verdict.effective(); v != Unknown {
			w.queued = append(w.queued, e.transition(sub{w, i}, Unknown))
		} else if e.settled {
			w.idle = append(w.idle, i)
		}
	}
	o.recompute(now)
	o.logProvisional()
	w.notify()
	done = true
}

// entry returns the state of a target or creates it; a new one carries over earlier state, and is due at once unless that
// sets a time.
func (o *scheduler) entry(id identity, c *preparedCheck, now time.Time) *targetState {
	if e := o.entries[id]; e != nil {
		return e
	}
	e := &targetState{identity: id, prepared: c, settled: c.check.Type == config.Push, confirmsFirst: o.confirmsFirst.Load(), usedAt: now}
	o.identify(e)
	o.carryOver(e, now)
	o.entries[id] = e
	o.share(e, now)
	o.joinLimiter(e)
	o.attachParts(e, now)
	if of, ok := e.reportKey(); ok {
		o.pushTargets[of] = append(o.pushTargets[of], e)
	}
	if e.due.IsZero() {
		e.due = now
	}
	o.schedule(e)
	return e
}

// schedule queues e for its next event: a probe or the end of a lease; composites have none.
func (o *scheduler) schedule(e *targetState) {
	switch {
	case e.prepared.run != nil:
		o.waiting.add(e, e.due)
	case !e.lease.IsZero():
		o.leases.add(e, e.lease)
	}
}

// notify passes the queued transitions to the callback, and then counts them for the first round: its waiters find them
// applied.
func (w *Watch) notify() {
	queued, idle := w.queued, w.idle
	w.queued, w.idle = nil, nil
	if len(queued) > 0 && w.entries != nil && !w.closing.Load() {
		w.callback(queued)
	}
	var first int64
	for _, t := range queued {
		if t.To != Unknown {
			idle = append(idle, t.Index)
		}
	}
	for _, i := range idle {
		if !w.known[i] {
			w.known[i] = true
			first++
		}
	}
	if w.pending.Add(-first) == 0 {
		w.settleOnce()
	}
}

func (w *Watch) settleOnce() {
	select {
	case <-w.settled:
	default:
		close(w.settled)
	}
}

// FirstRound waits until every target of the watch has a verdict and the callback has seen it, or ctx ends, or the prober
// stops; it returns how many have none. Push targets are neither awaited nor counted.
func (w *Watch) FirstRound(ctx context.Context) (unknown int) {
	select {
	case <-w.settled:
	case <-ctx.Done():
	case <-w.prober.stopped:
	}
	return int(w.pending.Load())
}

// Progress returns how many targets of the watch have a verdict, or need none, and how many there are.
func (w *Watch) Progress() (done, all int) {
	return len(w.targets) - int(w.pending.Load()), len(w.targets)
}

// Close ends the subscription; the callback is not called after Close returns. Close waits for a running callback, so the
// callback must not call it. If the prober is stalled it returns anyway, and the subscription ends when the prober
// recovers. Close is idempotent.
func (w *Watch) Close() {
	w.closing.Store(true)
	w.prober.call(func(o *scheduler) { o.unsubscribe(w) })
}

// Own returns the targets of w, by index, that another watch does not have with the same check.
func (w *Watch) Own(other *Watch) (targets []int) {
	w.prober.call(func(*scheduler) {
		shared := make(map[*targetState]bool, len(other.entries))
		for _, e := range other.entries {
			shared[e] = true
		}
		for i, e := range w.entries {
			if !shared[e] {
				targets = append(targets, i)
			}
		}
	})
	return targets
}

func (o *scheduler) unsubscribe(w *Watch) {
	for _, e := range w.entries {
		if e == nil { // a subscription that was interrupted
			continue
		}
		e.subs = slices.DeleteFunc(e.subs, func(s sub) bool { return s.watch == w })
		if !e.hasSubscribers() {
			o.forget(e)
		}
	}
	w.entries = nil
}

// forget drops an entry without watches; one that is being probed stays until its report comes, so that a new watch does
// not probe it twice at once.
func (o *scheduler) forget(e *targetState) {
	if e.probing || e.stuck || o.entries[e.identity] != e {
		return
	}
	o.waiting.remove(e)
	o.leases.remove(e)
	o.drop(e)
}

// drop removes an entry that is in no queue.
func (o *scheduler) drop(e *targetState) {
	o.rememberIfHeld(e, time.Now())
	e.dropFailure()
	o.leaveLimiter(e)
	delete(o.entries, e.identity)
	o.unshare(e)
	o.observer.Certificates.remove(e)
	if of, ok := e.reportKey(); ok {
		o.pushTargets[of] = slices.DeleteFunc(o.pushTargets[of], func(p *targetState) bool { return p == e })
		if len(o.pushTargets[of]) == 0 {
			delete(o.pushTargets, of)
		}
	}
	o.detachParts(e)
}
