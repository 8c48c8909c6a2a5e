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

// Watch is one subscription to the verdicts of its targets. Its methods are
// safe for concurrent use, but not from within its own callback.
type Watch struct {
	prober   *Prober
	targets  []Target
	notified func([]Transition)
	pending  atomic.Int64  // targets whose first verdict has not been told
	settled  chan struct{} // closed when there is none left
	closing  atomic.Bool   // nothing more is to be told

	// The owner's.
	entries []*targetState // by target; nil once it is closed
	known   []bool         // by target: it was told a verdict, or there is none to wait for
	news    []Transition   // not told yet
	idle    []int          // targets that there is no verdict of to wait for, not counted yet
}

// Watch subscribes to targets. turned is called from the prober's one owner
// goroutine: first, before Watch returns, with the known verdicts of targets
// that were being watched already; afterwards with every turn. It must not
// block, nor call the prober or the watch; it may keep the slice.
// Close the Watch to end it; targets that nobody watches are forgotten.
//
// The error is of a check that cannot be prepared (see [Prepare]), or says
// that Run has returned.
func (p *Prober) Watch(targets []Target, turned func([]Transition)) (*Watch, error) {
	checkers, err := prepareChecks(targets)
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	w := &Watch{
		prober:   p,
		targets:  slices.Clone(targets),
		notified: turned,
		settled:  make(chan struct{}),
		entries:  make([]*targetState, len(targets)),
		known:    make([]bool, len(targets)),
	}
	w.pending.Store(int64(len(targets)))
	if !p.call(func(o *scheduler) { o.subscribe(w, checkers) }) {
		w.closing.Store(true)
		return nil, errors.New("watching: the prober has stopped, hangs or panicked over it; see the log")
	}
	return w, nil
}

// subscribe enters w's targets, those that are new due at once, and tells w
// the verdicts of the others.
func (o *scheduler) subscribe(w *Watch, checkers []*preparedCheck) {
	now, told := time.Now(), false
	o.before = o.predecessors(w.targets)
	defer func() {
		o.before = predecessors{}
		if !told { // it panicked, and nobody will close w
			o.unsubscribe(w)
		}
	}()
	for i, t := range w.targets {
		e := o.entry(identity{checkers[i].fingerprint, t.Addr.Unmap()}, checkers[i], now)
		e.subs = append(e.subs, sub{w, i})
		w.entries[i] = e
		if v, _ := e.verdict.effective(); v != Unknown {
			w.news = append(w.news, e.transition(sub{w, i}, Unknown))
		} else if e.settled {
			w.idle = append(w.idle, i)
		}
	}
	o.recompute(now)
	o.logProvisional()
	w.notify()
	told = true
}

// entry is that of a target; a new one knows what it inherits, and is due at once
// where that has not its own time.
func (o *scheduler) entry(id identity, c *preparedCheck, now time.Time) *targetState {
	if e := o.entries[id]; e != nil {
		return e
	}
	e := &targetState{identity: id, prepared: c, settled: c.check.Type == config.Push}
	o.carryOver(e, now)
	o.entries[id] = e
	o.enter(e)
	o.attachParts(e, now)
	if of, ok := e.push(); ok {
		o.pushTargets[of] = append(o.pushTargets[of], e)
	}
	if e.due.IsZero() {
		e.due = now
	}
	o.schedule(e)
	return e
}

// schedule has e wait for what is due next of it: a probe, the end of a lease;
// of composites nothing is.
func (o *scheduler) schedule(e *targetState) {
	switch {
	case e.prepared.run != nil:
		o.waiting.add(e, e.due)
	case !e.lease.IsZero():
		o.leases.add(e, e.lease)
	}
}

// notify hands the turns noted since the last time to the callback. Only then
// does the first round count them: who waits for it finds them applied.
func (w *Watch) notify() {
	news, idle := w.news, w.idle
	w.news, w.idle = nil, nil
	if len(news) > 0 && w.entries != nil && !w.closing.Load() {
		w.notified(news)
	}
	var first int64
	for _, t := range news {
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

// FirstRound waits until every target of the watch has a verdict, and turned
// has been called with it, or ctx ends, or the prober stops; it reports how
// many have none. What only a report can turn is not waited for, nor counted.
func (w *Watch) FirstRound(ctx context.Context) (unknown int) {
	select {
	case <-w.settled:
	case <-ctx.Done():
	case <-w.prober.stopped:
	}
	return int(w.pending.Load())
}

// Close ends the subscription; turned is not called after Close returns. It
// waits for a call of turned that is under way, so turned must not call it. While the
// prober hangs it returns all the same, and the subscription ends when that goes on.
// Closing twice is closing once.
func (w *Watch) Close() {
	w.closing.Store(true)
	w.prober.call(func(o *scheduler) { o.unsubscribe(w) })
}

func (o *scheduler) unsubscribe(w *Watch) {
	for _, e := range w.entries {
		if e == nil { // a subscription that was cut short
			continue
		}
		e.subs = slices.DeleteFunc(e.subs, func(s sub) bool { return s.watch == w })
		if !e.hasSubscribers() {
			o.forget(e)
		}
	}
	w.entries = nil
}

// forget drops an entry that nobody watches; one that is being probed stays
// until its report comes, lest a new watch have it probed twice at once.
func (o *scheduler) forget(e *targetState) {
	if e.probing || e.stuck || o.entries[e.identity] != e {
		return
	}
	o.waiting.remove(e)
	o.leases.remove(e)
	o.drop(e)
}

// drop forgets an entry that does not wait.
func (o *scheduler) drop(e *targetState) {
	o.rememberIfHeld(e, time.Now())
	e.dropFailure()
	o.leave(e)
	delete(o.entries, e.identity)
	if of, ok := e.push(); ok {
		o.pushTargets[of] = slices.DeleteFunc(o.pushTargets[of], func(p *targetState) bool { return p == e })
		if len(o.pushTargets[of]) == 0 {
			delete(o.pushTargets, of)
		}
	}
	o.detachParts(e)
}
