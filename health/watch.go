package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Watch is one subscription to the verdicts of its targets. Its methods are
// safe for concurrent use, but not from within its own callback.
type Watch struct {
	prober  *Prober
	targets []Target
	turned  func([]Turn)
	unknown atomic.Int64  // targets whose first verdict has not been told
	settled chan struct{} // closed when there is none left

	// The owner's.
	entries []*entry // by target
	news    []Turn   // not told yet
}

// Watch subscribes to targets. turned is called from the prober's one owner
// goroutine: first, before Watch returns, with the known verdicts of targets
// that were being watched already; afterwards with every turn. It must not
// block, nor call the prober or the watch; it may keep the slice.
// Close the Watch to end it; targets that nobody watches are forgotten.
//
// The error is of a check that cannot be prepared (see [Prepare]), or says
// that Run has returned.
func (p *Prober) Watch(targets []Target, turned func([]Turn)) (*Watch, error) {
	checkers, err := newCheckers(targets)
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	w := &Watch{
		prober:  p,
		targets: slices.Clone(targets),
		turned:  turned,
		settled: make(chan struct{}),
		entries: make([]*entry, len(targets)),
	}
	w.unknown.Store(int64(len(targets)))
	if !p.call(func(o *owner) { o.subscribe(w, checkers) }) {
		return nil, errors.New("watching: the prober has stopped")
	}
	return w, nil
}

// subscribe enters w's targets, those that are new due at once, and tells w
// the verdicts of the others.
func (o *owner) subscribe(w *Watch, checkers []*checker) {
	now := time.Now()
	for i, t := range w.targets {
		id := identity{checkers[i].definition, t.Addr.Unmap()}
		e := o.entries[id]
		if e == nil {
			e = &entry{identity: id, checker: checkers[i]}
			o.entries[id] = e
			o.waiting.add(e, now)
		}
		e.subs = append(e.subs, sub{w, i})
		w.entries[i] = e
		if e.tally.verdict != Unknown {
			w.news = append(w.news, e.turn(sub{w, i}, Unknown))
		}
	}
	w.tell()
}

// turn is e's last turn as s sees it.
func (e *entry) turn(s sub, from Verdict) Turn {
	return Turn{
		Index:   s.index,
		Target:  s.watch.targets[s.index],
		From:    from,
		To:      e.tally.verdict,
		Reason:  e.cause.Reason,
		Latency: e.cause.Latency,
		At:      e.since,
	}
}

// turned notes e's turn for everybody who watches it.
func (o *owner) turned(e *entry, from Verdict) {
	for _, s := range e.subs {
		if len(s.watch.news) == 0 {
			o.untold = append(o.untold, s.watch)
		}
		s.watch.news = append(s.watch.news, e.turn(s, from))
	}
}

// tell hands the turns noted since the last time to the callback. Only then
// does the first round count them: who waits for it finds them applied.
func (w *Watch) tell() {
	news := w.news
	w.news = nil
	if len(news) > 0 {
		w.turned(news)
	}
	var first int64
	for _, t := range news {
		if t.From == Unknown {
			first++
		}
	}
	if w.unknown.Add(-first) == 0 {
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
// many have none.
func (w *Watch) FirstRound(ctx context.Context) (unknown int) {
	select {
	case <-w.settled:
	case <-ctx.Done():
	case <-w.prober.stopped:
	}
	return int(w.unknown.Load())
}

// Close ends the subscription; turned is not called after Close returns. It
// waits for a call of turned that is under way, so turned must not call it.
// Closing twice is closing once.
func (w *Watch) Close() {
	w.prober.call(func(o *owner) { o.unsubscribe(w) })
}

func (o *owner) unsubscribe(w *Watch) {
	for _, e := range w.entries {
		e.subs = slices.DeleteFunc(e.subs, func(s sub) bool { return s.watch == w })
		if len(e.subs) == 0 {
			o.forget(e)
		}
	}
	w.entries = nil
}

// forget drops an entry that nobody watches; one that is being probed stays
// until its report comes, lest a new watch have it probed twice at once.
func (o *owner) forget(e *entry) {
	if e.probing || o.entries[e.identity] != e {
		return
	}
	o.waiting.remove(e)
	delete(o.entries, e.identity)
}

// Status is what the prober knows of a target.
type Status struct {
	Verdict Verdict
	Since   time.Time // when the verdict turned; zero while it is unknown
	Cause   Result    // the result that turned it
	Row     int       // results in a row that equal the last conclusive one
	Last    []Result  // newest first, at most 10
	Next    time.Time // when the next probe is due; zero while one is under way
}

// Status tells what is known of the target at index of the slice given to
// Watch. It reports false after Close and when the prober has stopped.
func (w *Watch) Status(index int) (s Status, ok bool) {
	w.prober.call(func(*owner) {
		if w.entries == nil {
			return
		}
		e := w.entries[index]
		s = Status{Verdict: e.tally.verdict, Since: e.since, Cause: e.cause, Row: e.tally.row, Last: e.history.results()}
		if !e.probing {
			s.Next = e.due
		}
		ok = true
	})
	return s, ok
}
