package health

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
)

// jitter is the part of an interval by which a probe comes early or late, at most.
const jitter = 0.1

// owner is the state of the goroutine in Run; but for jobs, idle and workers, no
// other touches it.
type owner struct {
	*Prober
	ctx      context.Context
	entries  map[identity]*entry
	programs lane                 // of all addresses
	lanes    map[netip.Addr]*lane // of the addresses of the entries
	memories memories
	before   ancestry // while a watch is entered: what there was before it
	waiting  queue    // the entries with probes that are neither probed nor parked
	leases   queue    // those whose reports hold for a time
	running  int      // probes under way
	reports  chan report
	jobs     chan *entry  // to workers that wait
	idle     atomic.Int64 // workers that wait
	workers  sync.WaitGroup
	pushed   map[pushed][]*entry
	untold   []*Watch   // watches with turns to tell
	doubts   doubts     // while a watch is entered
	gone     []departed // targets that were dropped and held down, until keepHolds

	composites [][]*entry // those of which a part has changed, by height

	failures map[localCause]*localFailure // why probes are inconclusive

	waited time.Time // when the owner last came back from being held up itself
}

// entry is a target as the owner knows it.
type entry struct {
	identity
	checker      *checker
	lane         *lane    // of its address
	room         *lane    // of a program: that of all; else nil
	subs         []sub    // who watches it
	wholes       []*entry // the composites that it is a part of; without any, and without subs, it is forgotten
	parts        []*entry // of a composite, by those of its checker
	affected     bool     // a composite: a part of it has changed
	settled      bool     // it has no verdict, and the first round does not wait for one
	tally        tally
	turnedBy     Result // the one that made the verdict what it is
	cause        Result // the one that made it what it is shown as
	response     response
	history      history
	inconclusive inconclusive
	held         hold      // the last that was told
	damped       bool      // as in Turn
	quiet        time.Time // no line about its certificate before this

	probing bool
	stuck   bool      // the program of its last probe does not end
	parked  *lane     // in which it waits
	spread  bool      // its first probe was not due at once
	freed   time.Time // when it last went on from there
	began   time.Time // of the last probe
	due     time.Time // of the next probe; meaningful while not probing
	place   int       // in the queue; meaningful while it is there
	lease   time.Time // push: when the last report holds no more, which due is then; zero: there is none
}

// sub is a watch's interest in an entry: its target at index.
type sub struct {
	watch *Watch
	index int
}

// report is a result, or the end of a program, on its way to the owner.
type report struct {
	entry  *entry
	result Result
	left   bool // a program outlives the probe
	gone   bool // it has ended; there is no result
}

func newOwner(ctx context.Context, p *Prober) *owner {
	return &owner{
		Prober:   p,
		ctx:      ctx,
		entries:  make(map[identity]*entry),
		pushed:   make(map[pushed][]*entry),
		failures: make(map[localCause]*localFailure),
		lanes:    make(map[netip.Addr]*lane),
		programs: lane{width: p.programs},
		memories: remembered(p.recalls, time.Now(), p.log),
		reports:  make(chan report, 64),
		jobs:     make(chan *entry),
	}
}

func (o *owner) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for o.ctx.Err() == nil {
		o.pass(timer, ticker)
	}
}

// pass is one turn of the loop: it launches what is due, waits for one event,
// and tells the watches all turns that came of it together.
func (o *owner) pass(timer *time.Timer, ticker *time.Ticker) {
	defer o.rescue()
	wake := o.launchDue(timer)
	o.tell() // of leases that ran out
	select {
	case <-o.ctx.Done():
	case call := <-o.calls:
		call(o)
	case r := <-o.reports:
		o.take(r)
	case <-wake:
	case <-ticker.C:
		o.sweep(time.Now())
	}
	o.tell()
}

// take records r and whatever else has been reported by now.
func (o *owner) take(r report) {
	for more := true; more; {
		o.record(r)
		select {
		case r = <-o.reports:
		default:
			more = false
		}
	}
}

// tell tells the watches what was noted for them, and what follows from it.
func (o *owner) tell() {
	now := time.Now()
	o.derive(now)
	o.keepHolds(now)
	for _, w := range o.untold {
		if w.closing.Load() { // the owner hung when it was closed
			o.unsubscribe(w)
			continue
		}
		w.tell()
	}
	o.untold = o.untold[:0]
}

// record takes over what is reported of an entry. One whose program is left is not
// probed again before that ends: it would be left another.
func (o *owner) record(r report) {
	e, now := r.entry, time.Now()
	if r.gone {
		o.vacated(e, now)
	} else {
		o.landed(e, r.left, now)
	}
	if !e.wanted() && !e.stuck {
		o.drop(e)
		return
	}
	if !r.gone {
		o.heed(e, r.result, now)
	}
	if !e.stuck {
		o.waiting.add(e, e.nextDue(r.result, now))
	}
}

// heed has e's verdict follow a result.
func (o *owner) heed(e *entry, r Result, now time.Time) {
	e.history.add(r)
	o.warnExpiry(e, r)
	if r.Outcome == Inconclusive {
		o.noteInconclusive(e, r, now)
		return
	}
	o.noteConclusive(e, now)
	if r.Outcome == Passed {
		e.response = e.response.after(r.Latency)
	}
	o.become(e, e.tally.after(r.Outcome, now, e.checker.check), r, now)
}

// become makes t the tally of e, for cause, and notes what is new in it for
// whom it concerns.
func (o *owner) become(e *entry, t tally, cause Result, now time.Time) {
	from, was := e.tally.shown()
	share := e.tally.share
	news := !e.tally.doubtOf(t)
	if t.verdict != e.tally.verdict {
		e.turnedBy = cause
	}
	e.tally = t
	damped := e.damped
	e.damped = t.dampedOnly(now, e.checker.check)
	switch to, held := t.shown(); {
	case to != from, held != was:
		if to == Up && cause.Outcome == Failed || to == Down && cause.Outcome == Passed { // it was uncertain
			cause.Reason = e.turnedBy.Reason + "; still " + to.String() + ": " + cause.Reason
		}
		e.cause = cause
		if news {
			o.logTurn(e, from, cause)
		}
		o.turned(e, from)
		e.history.turn(e.news(from))
		o.changed()
	case t.share != share, e.damped != damped, to == Up && e.response.moved():
		o.turned(e, to)
	}
	o.noteHold(e, now)
}

// sweep looks for what comes about by the passing of time alone: targets that
// nothing was heard of for too long, and holds that end.
func (o *owner) sweep(now time.Time) {
	o.sweepFailures(now)
	for _, e := range o.entries {
		if !e.wanted() {
			continue
		}
		t := e.tally.stale(now, o.delayed(e, now), e.checker.check)
		if t.lost.IsZero() == e.tally.lost.IsZero() {
			o.noteHold(e, now)
			continue
		}
		o.become(e, t, Result{Reason: e.silence(now), At: now}, now)
	}
}

// delayed is until when the owner is to blame for it that nothing was heard of e.
func (o *owner) delayed(e *entry, now time.Time) time.Time {
	switch {
	case e.parked != nil:
		return e.parked.held(now)
	case e.freed.After(o.waited):
		return e.freed
	}
	return o.waited
}

// nextDue is when an entry that was just probed is due again: an interval
// after that probe began, give or take the jitter; after the first probe of
// all, anywhere within the interval, so that targets which began together spread.
// Where the next result turns the verdict, that is to be confirmed: soon.
func (e *entry) nextDue(r Result, now time.Time) time.Time {
	if r.Outcome != Inconclusive && e.tally.confirms(now, e.checker.check) {
		return now.Add(e.checker.check.Confirm)
	}
	part := 1 - jitter + 2*jitter*rand.Float64()
	if e.history.added <= 1 && !e.spread {
		part = rand.Float64()
	}
	interval := float64(e.checker.check.Interval)
	return e.began.Add(time.Duration(part * interval))
}

// name is that of the check by which e is known.
func (e *entry) name() string { return e.check().Name }

// check is e's as the longest-standing watch has it, or the one of what e is a
// part of: all of them are the same but for names and places in a file.
func (e *entry) check() *config.Check {
	if len(e.subs) > 0 {
		s := e.subs[0]
		return s.watch.targets[s.index].Check
	}
	if len(e.wholes) > 0 {
		w := e.wholes[0]
		return w.check().Parts[slices.Index(w.parts, e)].Check
	}
	return e.checker.check // nobody knows it any more
}

// wanted reports whether anybody wants to know of e.
func (e *entry) wanted() bool { return len(e.subs)+len(e.wholes) > 0 }

// awaited reports whether the first round waits for e.
func (e *entry) awaited() bool { return e.tally.verdict == Unknown && !e.settled }
