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
	"meridian/health/probe"
)

// jitter is the largest part of an interval by which a probe comes early or late.
const jitter = 0.1

// scheduler is the state of the goroutine in Run; other goroutines use only jobs, idle and workers.
type scheduler struct {
	*Prober
	ctx           context.Context
	entries       map[identity]*targetState
	programs      limiter                 // of all addresses
	limiters      map[netip.Addr]*limiter // by address, of the entries
	saved         savedTargets
	before        predecessors // while a watch is added: the targets before it
	waiting       queue        // entries with probes, neither probed nor parked
	leases        queue        // entries with reports that expire
	running       int          // probes in progress
	reports       chan report
	jobs          chan *targetState // to idle workers
	idle          atomic.Int64      // idle workers
	workers       sync.WaitGroup
	pushTargets   map[reportKey][]*targetState
	pendingNotify []*Watch          // watches with notifications to deliver
	provisional   provisionalCounts // while a watch is added
	dropped       []droppedTarget   // held targets that were dropped, until saveHolds

	composites [][]*targetState // those with a changed part, by height

	shared     map[ProbeID][]*targetState // those that the vantages of a cluster decide about; more than one during a reload
	agreements map[ProbeID]Agreement      // the last of each
	decideAt   time.Time                  // when an agreement is confirmed; zero: none waits for that

	failures map[localCause]*localFailure // reasons of inconclusive probes

	lastStall time.Time // when the scheduler last continued after a stall of its own
}

// targetState is the scheduler's state of a target.
type targetState struct {
	identity
	prepared      *preparedCheck
	limiter       *limiter       // of its address
	execLimiter   *limiter       // of an exec check: the limiter of all programs; else nil
	subs          []sub          // the watches of it
	parents       []*targetState // the composites that it is a part of; without parents and subs the entry is dropped
	parts         []*targetState // of a composite, in the order of prepared.parts
	dirty         bool           // a composite: a part of it has changed
	settled       bool           // it has no verdict, and the first round does not wait for one
	confirmsFirst bool           // it was added after the start: a first failure is confirmed by another probe at once
	verdict       verdictState
	changedBy     probe.Result // the result that made the verdict
	cause         probe.Result // the result that made the effective verdict
	response      responseTime
	history       history
	inconclusive  inconclusive
	held          holdReason // the last one logged
	damped        bool       // as in Transition
	nextExpiryLog time.Time  // earliest time of the next certificate warning

	id        ProbeID    // of a shared target; 0: it is not shared
	published opinion    // of a shared target: the last one reported
	agreed    *Agreement // of a shared target; nil: none yet

	probing    bool
	stuck      bool      // the program of its last probe does not end
	parked     *limiter  // the limiter that it waits for
	spread     bool      // its first probe was not due at once
	unparkedAt time.Time // when it last left a limiter's queue
	probeStart time.Time // start of the last probe
	due        time.Time // start of the next probe; meaningful while not probing
	queueIndex int       // in the queue; meaningful while it is there
	usedAt     time.Time // when a query last asked for it; at first when this process began to probe it
	used       bool      // a query has asked for it
	idleSince  time.Time // since when the idle interval applies; zero: the normal one does
	sparse     bool      // its last results came at the idle interval
	resumedAt  time.Time // when a query ended the idle interval
	lease      time.Time // push: when the last report expires, equal to due then; zero: no report
}

// sub is the subscription of a watch to an entry: its target at index.
type sub struct {
	watch *Watch
	index int
}

// report is a result, or the end of a program, on its way to the scheduler.
type report struct {
	entry        *targetState
	result       probe.Result
	orphaned     bool // a program outlives the probe
	orphanExited bool // the program has ended; there is no result
}

func newScheduler(ctx context.Context, p *Prober) *scheduler {
	return &scheduler{
		Prober:      p,
		ctx:         ctx,
		entries:     make(map[identity]*targetState),
		pushTargets: make(map[reportKey][]*targetState),
		shared:      make(map[ProbeID][]*targetState),
		agreements:  make(map[ProbeID]Agreement),
		failures:    make(map[localCause]*localFailure),
		limiters:    make(map[netip.Addr]*limiter),
		programs:    limiter{width: p.programs},
		saved:       loadSaved(p.saved, time.Now(), p.log),
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

// step is one iteration of the loop: it launches due probes, waits for one event, and delivers all resulting notifications
// together.
func (o *scheduler) step(timer *time.Timer, ticker *time.Ticker) {
	defer o.recoverPanic()
	wake := o.launchDue(timer)
	o.notify() // of expired leases
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

// drainReports handles r and all other reports that have arrived.
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

// notify recomputes composites and delivers queued notifications to the watches.
func (o *scheduler) notify() {
	now := time.Now()
	o.recompute(now)
	o.saveHolds(now)
	for _, w := range o.pendingNotify {
		if w.closing.Load() { // it was closed while the scheduler was stalled
			o.unsubscribe(w)
			continue
		}
		w.notify()
	}
	o.pendingNotify = o.pendingNotify[:0]
}

// handleReport applies a report. An entry whose program outlives its probe is not probed again until the program ends: each
// probe would leave another program.
func (o *scheduler) handleReport(r report) {
	e, now := r.entry, time.Now()
	if r.orphanExited {
		o.processExited(e, now)
	} else {
		o.probeDone(e, r.orphaned, now)
	}
	if !e.hasSubscribers() && !e.stuck {
		o.drop(e)
		return
	}
	if !r.orphanExited {
		o.applyResult(e, r.result, now)
	}
	if !e.stuck {
		o.waiting.add(e, e.nextDue(r.result, now))
	}
}

// applyResult updates e's verdict by a result.
func (o *scheduler) applyResult(e *targetState, r probe.Result, now time.Time) {
	e.history.add(r)
	o.observer.probed(e.check(), r)
	o.observer.Certificates.set(e, e.check(), r.Expires)
	o.warnExpiry(e, r)
	if r.Outcome == probe.Inconclusive {
		o.noteInconclusive(e, r, now)
		return
	}
	o.noteConclusive(e, now)
	if r.Outcome == probe.Passed {
		e.response = e.response.add(r.Latency)
	}
	if e.isFirstFailure(r) {
		return
	}
	t, cause := e.verdict.after(r.Outcome, now, e.pacedCheck()), r
	if t.agreement.shared {
		cause = e.agreedCause(now)
	}
	o.setState(e, t, cause, now)
}

// setState sets e's verdict state, caused by cause, and logs and queues what changed.
func (o *scheduler) setState(e *targetState, t verdictState, cause probe.Result, now time.Time) {
	from, was := e.verdict.effective()
	share := e.verdict.slowStartWeight
	logged := !e.verdict.isProvisional(t)
	if t.verdict != e.verdict.verdict {
		e.changedBy = cause
	}
	e.verdict = t
	damped := e.damped
	e.damped = t.dampedOnly(now, e.prepared.check)
	switch to, held := t.effective(); {
	case to != from, held != was:
		if to == Up && cause.Outcome == probe.Failed || to == Down && cause.Outcome == probe.Passed { // it was uncertain
			cause.Reason = e.changedBy.Reason + "; still " + to.String() + ": " + cause.Reason
		}
		e.cause = cause
		if logged {
			o.logTransition(e, from, cause)
		}
		o.observer.changed(e.check(), to)
		o.notifySubscribers(e, from)
		e.history.addTransition(e.transitionFrom(from))
		o.changed()
	case t.slowStartWeight != share, e.damped != damped, to == Up && e.response.changedEnough():
		o.notifySubscribers(e, to)
	}
	o.logHold(e, now)
	o.publish(e)
}

// isFirstFailure reports whether r is the first result of a target that needs two failures to go down first: one lost
// probe must not take a member out that a reload adds.
func (e *targetState) isFirstFailure(r probe.Result) bool {
	if !e.confirmsFirst {
		return false
	}
	e.confirmsFirst = false
	return r.Outcome == probe.Failed && e.verdict.last == probe.Inconclusive && e.prepared.run != nil
}

// checkTimeouts applies changes caused by time alone: stale verdicts and ended holds.
func (o *scheduler) checkTimeouts(now time.Time) {
	o.sweepFailures(now)
	for _, e := range o.entries {
		if !e.hasSubscribers() {
			continue
		}
		t := e.verdict.stale(now, o.lastStallEnd(e, now), e.pacedCheck())
		if t.agreement.shared {
			o.setState(e, t.decide(now, e.prepared.check), e.agreedCause(now), now)
			continue
		}
		if t.staleSince.IsZero() == e.verdict.staleSince.IsZero() {
			o.logHold(e, now)
			continue
		}
		o.setState(e, t, probe.Result{Reason: e.staleReason(now), At: now}, now)
	}
}

// lastStallEnd returns the time before which missing results of e are the scheduler's own doing.
func (o *scheduler) lastStallEnd(e *targetState, now time.Time) time.Time {
	if e.parked != nil {
		return e.parked.waitingSince(now)
	}
	return latest(o.lastStall, e.unparkedAt, e.resumedAt)
}

// latest returns the latest of times.
func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// nextDue returns when an entry that was just probed is due again: an interval after that probe began, plus or minus the
// jitter; after the first probe, anywhere within the interval, so that targets that began together spread; after the
// confirm time if the next result decides. The interval is longer while no query asks for the entry.
func (e *targetState) nextDue(r probe.Result, now time.Time) time.Time {
	if r.Outcome == probe.Failed && e.verdict.last == probe.Inconclusive { // see isFirstFailure
		return now.Add(e.prepared.check.Confirm)
	}
	if r.Outcome != probe.Inconclusive && e.verdict.needsConfirm(now, e.prepared.check) {
		return now.Add(e.prepared.check.Confirm)
	}
	part := 1 - jitter + 2*jitter*rand.Float64()
	if e.history.added <= 1 && !e.spread {
		part = rand.Float64()
	}
	interval := float64(e.interval(now))
	return e.probeStart.Add(time.Duration(part * interval))
}

// name returns the name of e's check.
func (e *targetState) name() string { return e.check().Name }

// check returns e's check from its oldest watch, or from the composite that contains it: all copies differ only in names
// and file positions.
func (e *targetState) check() *config.Check {
	if len(e.subs) > 0 {
		s := e.subs[0]
		return s.watch.targets[s.index].Check
	}
	if len(e.parents) > 0 {
		w := e.parents[0]
		return w.check().Parts[slices.Index(w.parts, e)].Check
	}
	return e.prepared.check // no watch or composite refers to it any more
}

// hasSubscribers reports whether a watch or a composite refers to e.
func (e *targetState) hasSubscribers() bool { return len(e.subs)+len(e.parents) > 0 }

// awaitingFirst reports whether the first round waits for e.
func (e *targetState) awaitingFirst() bool { return e.verdict.verdict == Unknown && !e.settled }
