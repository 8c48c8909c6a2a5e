package health

import (
	"log/slog"
	"time"

	"meridian/health/probe"
)

// causeQuiet is the minimum time between two log lines about inconclusive probes of the same check and reason: an
// intermittent cause must not fill the log.
const causeQuiet = time.Minute

// localCause identifies targets with inconclusive probes of one reason: a local error affects all of them, and one line in
// the log is enough.
type localCause struct{ check, reason string }

// localFailure is a cause and the number of targets it affects.
type localFailure struct {
	cause      localCause
	example    string    // the address of the first of them
	targets    int       // now
	peak       int       // since the line in the log
	began      time.Time // when the first of them was affected
	logged     bool      // its begin is logged, and its end is not yet
	quietUntil time.Time // no log line of its begin before this
}

// inconclusive holds since when all probes of a target have been inconclusive, and why. The zero value is a target with a
// conclusive last probe.
type inconclusive struct {
	since   time.Time
	failure *localFailure
}

// noteInconclusive records that r, a probe of e, is inconclusive. The first round does not wait for another: the local
// error is likely to persist, and an unknown target counts as up.
func (o *scheduler) noteInconclusive(e *targetState, r probe.Result, now time.Time) {
	if e.inconclusive.since.IsZero() {
		e.inconclusive.since = r.At
	}
	cause := localCause{e.name(), r.Reason}
	if f := e.inconclusive.failure; f == nil || f.cause != cause {
		o.leaveFailure(e, now)
		o.joinFailure(e, cause, now)
	}
	if e.awaitingFirst() {
		o.markSettled(e)
	}
}

// noteConclusive records that a probe of e was conclusive.
func (o *scheduler) noteConclusive(e *targetState, now time.Time) {
	o.leaveFailure(e, now)
	e.inconclusive = inconclusive{}
}

// joinFailure counts e among the targets of a cause.
func (o *scheduler) joinFailure(e *targetState, cause localCause, now time.Time) {
	f := o.failures[cause]
	if f == nil {
		f = &localFailure{cause: cause}
		o.failures[cause] = f
	}
	if f.targets == 0 {
		f.began, f.example = now, e.addr.String()
	}
	f.targets++
	f.peak = max(f.peak, f.targets)
	e.inconclusive.failure = f
	o.logFailure(f, now)
}

// leaveFailure removes e from the targets of its cause, if it has one.
func (o *scheduler) leaveFailure(e *targetState, now time.Time) {
	f := e.inconclusive.failure
	if f == nil {
		return
	}
	e.inconclusive.failure = nil
	if f.targets--; f.targets > 0 {
		return
	}
	if f.logged {
		o.log.LogAttrs(o.ctx, slog.LevelInfo, "probes conclusive again",
			slog.String("check", f.cause.check), slog.String("address", f.example), slog.String("reason", f.cause.reason),
			slog.Int("targets", f.peak), slog.Duration("after", now.Sub(f.began).Round(time.Second)))
	}
	f.logged, f.peak = false, 0
}

// dropFailure removes e, which is not probed any more, from the targets of its cause, without a log line: the cause has not
// ended.
func (e *targetState) dropFailure() {
	if f := e.inconclusive.failure; f != nil {
		if f.targets--; f.targets == 0 {
			f.logged, f.peak = false, 0
		}
		e.inconclusive = inconclusive{}
	}
}

// inheritFailure marks e, which has the probes of p, as inconclusive since p was.
func (o *scheduler) inheritFailure(e, p *targetState, now time.Time) {
	if p.inconclusive.failure == nil {
		return
	}
	e.inconclusive.since = p.inconclusive.since
	e.settled = e.settled || p.settled
	o.joinFailure(e, p.inconclusive.failure.cause, now)
}

// logFailure logs the begin of f, unless it is logged already or a line is too recent.
func (o *scheduler) logFailure(f *localFailure, now time.Time) {
	if f.logged || f.targets == 0 || now.Before(f.quietUntil) {
		return
	}
	f.logged, f.quietUntil = true, now.Add(causeQuiet)
	o.log.LogAttrs(o.ctx, slog.LevelError, "probes inconclusive, health states stay as they are",
		slog.String("check", f.cause.check), slog.String("address", f.example), slog.String("reason", f.cause.reason))
}

// sweepFailures logs begins that were suppressed, and deletes ended causes.
func (o *scheduler) sweepFailures(now time.Time) {
	for cause, f := range o.failures {
		o.logFailure(f, now)
		if f.targets == 0 && !now.Before(f.quietUntil) {
			delete(o.failures, cause)
		}
	}
}
