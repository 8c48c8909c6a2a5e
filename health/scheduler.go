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

// scheduler is the state of the goroutine in Run; but for jobs, idle and workers, no
// other touches it.
type scheduler struct {
	*Prober
	ctx           context.Context
	entries       map[identity]*targetState
	programs      limiter                 // of all addresses
	limiters      map[netip.Addr]*limiter // of the addresses of the entries
	saved         savedTargets
	before        predecessors // while a watch is entered: what there was before it
	waiting       queue        // the entries with probes that are neither probed nor parked
	leases        queue        // those whose reports hold for a time
	running       int          // probes under way
	reports       chan report
	jobs          chan *targetState // to workers that wait
	idle          atomic.Int64      // workers that wait
	workers       sync.WaitGroup
	pushTargets   map[reportKey][]*targetState
	pendingNotify []*Watch          // watches with turns to tell
	provisional   provisionalCounts // while a watch is entered
	dropped       []droppedTarget   // targets that were dropped and held down, until keepHolds

	composites [][]*targetState // those of which a part has changed, by height

	failures map[localCause]*localFailure // why probes are inconclusive

	lastStall time.Time // when the owner last came back from being held up itself
}

// targetState is a target as the owner knows it.
type targetState struct {
	identity
	prepared      *preparedCheck
	limiter       *limiter       // of its address
	execLimiter   *limiter       // of a program: that of all; else nil
	subs          []sub          // who watches it
	parents       []*targetState // the composites that it is a part of; without any, and without subs, it is forgotten
	parts         []*targetState // of a composite, by those of its checker
	affected      bool           // a composite: a part of it has changed
	settled       bool           // it has no verdict, and the first round does not wait for one
	verdict       verdictState
	changedBy     Result // the one that made the verdict what it is
	cause         Result // the one that made it what it is shown as
	response      responseTime
	history       history
	inconclusive  inconclusive
	held          holdReason // the last that was told
	damped        bool       // as in Turn
	nextExpiryLog time.Time  // no line about its certificate before this

	probing    bool
	stuck      bool      // the program of its last probe does not end
	parked     *limiter  // in which it waits
	spread     bool      // its first probe was not due at once
	freed      time.Time // when it last went on from there
	began      time.Time // of the last probe
	due        time.Time // of the next probe; meaningful while not probing
	queueIndex int       // in the queue; meaningful while it is there
	lease      time.Time // push: when the last report holds no more, which due is then; zero: there is none
}

// sub is a watch's interest in an entry: its target at index.
type sub struct {
	watch *Watch
	index int
}

// report is a result, or the end of a program, on its way to the owner.
type report struct {
	entry  *targetState
	result Result
	left   bool // a program outlives the probe
	gone   bool // it has ended; there is no result
}

func newScheduler(ctx context.Context, p *Prober) *scheduler {
	return &scheduler{
		Prober:      p,
		ctx:         ctx,
		entries:     make(map[identity]*targetState),
		pushTargets: make(map[reportKey][]*targetState),
		failures:    make(map[localCause]*localFailure),
		limiters:    make(map[netip.Addr]*limiter),
		programs:    limiter{width: p.programs},
		saved:       saveRequest(p.recalls, time.Now(), p.log),
		reports:     make(chan report, 64),
		jobs:        make(chan *targetState),
	}
}

func (o *scheduler) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	for o.ctx.Err() == nil {
		o.step(timer, ticker)
	}
}

// step is one turn of the loop: it launches what is due, waits for one event,
// and tells the watches all turns that came of it together.
func (o *scheduler) step(timer *time.Timer, ticker *time.Ticker) {
	defer o.recoverPanic()
	wake := o.launchDue(timer)
	o.notify() // of leases that ran out
	select {
	case <-o.ctx.Done():
	case call := <-o.calls:
		call(o)
	case r := <-o.reports:
		o.drainReports(r)
	case <-wake:
	case <-ticker.C:
		o.checkTimeouts(time.Now())
	}
	o.notify()
}

// drainReports records r and whatever else has been reported by now.
func (o *scheduler) drainReports(r report) {
	for more := true; more; {
		o.handleReport(r)
		select {
		case r = <-o.reports:
		default:
			more = false
		}
	}
}

// notify tells the watches what was noted for them, and what follows from it.
func (o *scheduler) notify() {
	now := time.Now()
	o.recompute(now)
	o.saveHolds(now)
	for _, w := range o.pendingNotify {
		if w.closing.Load() { // the owner hung when it was closed
			o.unsubscribe(w)
			continue
		}
		w.notify()
	}
	o.pendingNotify = o.pendingNotify[:0]
}

// handleReport takes over what is reported of an entry. One whose program is left is not
// probed again before that ends: it would be left another.
func (o *scheduler) handleReport(r report) {
	e, now := r.entry, time.Now()
	if r.gone {
		o.processExited(e, now)
	} else {
		o.probeDone(e, r.left, now)
	}
	if !e.hasSubscribers() && !e.stuck {
		o.drop(e)
		return
	}
	if !r.gone {
		o.applyResult(e, r.result, now)
	}
	if !e.stuck {
		o.waiting.add(e, e.nextDue(r.result, now))
	}
}

// applyResult has e's verdict follow a result.
func (o *scheduler) applyResult(e *targetState, r Result, now time.Time) {
	e.history.add(r)
	o.warnExpiry(e, r)
	if r.Outcome == Inconclusive {
		o.noteInconclusive(e, r, now)
		return
	}
	o.noteConclusive(e, now)
	if r.Outcome == Passed {
		e.response = e.response.add(r.Latency)
	}
	o.setState(e, e.verdict.after(r.Outcome, now, e.prepared.check), r, now)
}

// setState makes t the tally of e, for cause, and notes what is new in it for
// whom it concerns.
func (o *scheduler) setState(e *targetState, t verdictState, cause Result, now time.Time) {
	from, was := e.verdict.effective()
	share := e.verdict.slowStartWeight
	news := !e.verdict.isProvisional(t)
	if t.verdict != e.verdict.verdict {
		e.changedBy = cause
	}
	e.verdict = t
	damped := e.damped
	e.damped = t.dampedOnly(now, e.prepared.check)
	switch to, held := t.effective(); {
	case to != from, held != was:
		if to == Up && cause.Outcome == Failed || to == Down && cause.Outcome == Passed { // it was uncertain
			cause.Reason = e.changedBy.Reason + "; still " + to.String() + ": " + cause.Reason
		}
		e.cause = cause
		if news {
			o.logTransition(e, from, cause)
		}
		o.notifySubscribers(e, from)
		e.history.addTransition(e.transitionFrom(from))
		o.changed()
	case t.slowStartWeight != share, e.damped != damped, to == Up && e.response.changedEnough():
		o.notifySubscribers(e, to)
	}
	o.logHold(e, now)
}

// checkTimeouts looks for what comes about by the passing of time alone: targets that
// nothing was heard of for too long, and holds that end.
func (o *scheduler) checkTimeouts(now time.Time) {
	o.sweepFailures(now)
	for _, e := range o.entries {
		if !e.hasSubscribers() {
			continue
		}
		t := e.verdict.stale(now, o.lastStallEnd(e, now), e.prepared.check)
		if t.staleSince.IsZero() == e.verdict.staleSince.IsZero() {
			o.logHold(e, now)
			continue
		}
		o.setState(e, t, Result{Reason: e.staleReason(now), At: now}, now)
	}
}

// lastStallEnd is until when the owner is to blame for it that nothing was heard of e.
func (o *scheduler) lastStallEnd(e *targetState, now time.Time) time.Time {
	switch {
	case e.parked != nil:
		return e.parked.waitingSince(now)
	case e.freed.After(o.lastStall):
		return e.freed
	}
	return o.lastStall
}

// nextDue is when an entry that was just probed is due again: an interval
// after that probe began, give or take the jitter; after the first probe of
// all, anywhere within the interval, so that targets which began together spread.
// Where the next result turns the verdict, that is to be confirmed: soon.
func (e *targetState) nextDue(r Result, now time.Time) time.Time {
	if r.Outcome != Inconclusive && e.verdict.needsConfirm(now, e.prepared.check) {
		return now.Add(e.prepared.check.Confirm)
	}
	part := 1 - jitter + 2*jitter*rand.Float64()
	if e.history.added <= 1 && !e.spread {
		part = rand.Float64()
	}
	interval := float64(e.prepared.check.Interval)
	return e.began.Add(time.Duration(part * interval))
}

// name is that of the check by which e is known.
func (e *targetState) name() string { return e.check().Name }

// check is e's as the longest-standing watch has it, or the one of what e is a
// part of: all of them are the same but for names and places in a file.
func (e *targetState) check() *config.Check {
	if len(e.subs) > 0 {
		s := e.subs[0]
		return s.watch.targets[s.index].Check
	}
	if len(e.parents) > 0 {
		w := e.parents[0]
		return w.check().Parts[slices.Index(w.parts, e)].Check
	}
	return e.prepared.check // nobody knows it any more
}

// hasSubscribers reports whether anybody wants to know of e.
func (e *targetState) hasSubscribers() bool { return len(e.subs)+len(e.parents) > 0 }

// awaitingFirst reports whether the first round waits for e.
func (e *targetState) awaitingFirst() bool { return e.verdict.verdict == Unknown && !e.settled }
