package health

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// jitter is the part of an interval by which a probe comes early or late, at most.
const jitter = 0.1

// owner is the state of the goroutine in Run; no other touches it.
type owner struct {
	*Prober
	ctx      context.Context
	entries  map[identity]*entry
	waiting  queue // the entries that are not being probed
	running  int   // probes under way
	reports  chan report
	untold   []*Watch  // watches with turns to tell
	complain time.Time // no line about inconclusive probes before this
}

// entry is a target as the owner knows it.
type entry struct {
	identity
	checker *checker
	subs    []sub // who watches it; without any it is forgotten
	tally   tally
	since   time.Time // of the verdict
	cause   Result    // the one that turned it
	history history
	quiet   time.Time // no line about its certificate before this

	probing bool
	began   time.Time // of the last probe
	due     time.Time // of the next probe; meaningful while not probing
	place   int       // in the queue; meaningful while not probing
}

// sub is a watch's interest in an entry: its target at index.
type sub struct {
	watch *Watch
	index int
}

// report is a result on its way to the owner.
type report struct {
	entry  *entry
	result Result
}

func (o *owner) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for o.ctx.Err() == nil {
		wake := o.launchDue(timer)
		select {
		case <-o.ctx.Done():
		case call := <-o.calls:
			call(o)
		case r := <-o.reports:
			o.take(r)
		case <-wake:
		}
	}
}

// launchDue launches the probes that are due, the longest overdue first, as
// far as the limit allows. The channel that it returns delivers when the next
// one is due; it is nil when only a report can let one begin.
func (o *owner) launchDue(timer *time.Timer) (wake <-chan time.Time) {
	now := time.Now()
	for o.running < o.limit {
		e := o.waiting.first()
		if e == nil {
			return nil
		}
		if wait := e.due.Sub(now); wait > 0 {
			timer.Reset(wait)
			return timer.C
		}
		o.waiting.remove(e)
		o.launch(e, now)
	}
	return nil
}

func (o *owner) launch(e *entry, now time.Time) {
	e.probing, e.began = true, now
	o.running++
	go func() {
		o.reports <- report{e, e.checker.probe(o.ctx, e.addr, o.dial, o.log)}
	}()
}

// take records r and whatever else has been reported by now, then tells the
// watches of all turns together.
func (o *owner) take(r report) {
	for more := true; more; {
		o.record(r)
		select {
		case r = <-o.reports:
		default:
			more = false
		}
	}
	for _, w := range o.untold {
		w.tell()
	}
	o.untold = o.untold[:0]
}

func (o *owner) record(r report) {
	e := r.entry
	e.probing = false
	o.running--
	if len(e.subs) == 0 {
		delete(o.entries, e.identity)
		return
	}
	o.waiting.add(e, e.nextDue())
	e.history.add(r.result)
	o.warnExpiry(e, r.result)
	if r.result.Outcome == Inconclusive {
		o.logInconclusive(e, r.result)
		return
	}
	from := e.tally.verdict
	e.tally = e.tally.after(r.result.Outcome, e.checker.check.Rise, e.checker.check.Fall)
	if e.tally.verdict != from {
		e.since, e.cause = time.Now(), r.result
		o.logTurn(e, from, r.result)
		o.turned(e, from)
	}
}

// nextDue is when an entry that was just probed is due again: an interval
// after that probe began, give or take the jitter; after the first probe of
// all, anywhere within the interval, so that targets which began together spread.
func (e *entry) nextDue() time.Time {
	part := 1 - jitter + 2*jitter*rand.Float64()
	if e.history.added == 0 {
		part = rand.Float64()
	}
	interval := float64(e.checker.check.Interval)
	return e.began.Add(time.Duration(part * interval))
}

func (o *owner) logTurn(e *entry, from Verdict, r Result) {
	level := slog.LevelInfo
	if e.tally.verdict == Down {
		level = slog.LevelWarn
	}
	o.log.LogAttrs(o.ctx, level, "verdict turned",
		slog.String("check", e.name()),
		slog.String("address", e.addr.String()),
		slog.String("from", from.String()),
		slog.String("to", e.tally.verdict.String()),
		slog.String("reason", r.Reason),
		slog.Duration("latency", r.Latency))
}

// logInconclusive says, once a minute at most, that probes cannot be made: what
// ails this machine ails all its probes.
func (o *owner) logInconclusive(e *entry, r Result) {
	now := time.Now()
	if now.Before(o.complain) {
		return
	}
	o.complain = now.Add(time.Minute)
	o.log.LogAttrs(o.ctx, slog.LevelError, "probes cannot be made, verdicts stay as they are",
		slog.String("check", e.name()),
		slog.String("address", e.addr.String()),
		slog.String("reason", r.Reason))
}

// name is that of the check by which the longest-standing watch knows e.
func (e *entry) name() string {
	s := e.subs[0]
	return s.watch.targets[s.index].Check.Name
}
