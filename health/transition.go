package health

import (
	"fmt"
	"log/slog"
	"time"

	"meridian/health/probe"
)

// transition builds the notification about e for subscriber s, which knows verdict from.
func (e *targetState) transition(s sub, from Verdict) Transition {
	t := e.transitionFrom(from)
	t.Index, t.Target = s.index, s.watch.targets[s.index]
	return t
}

// transitionFrom builds a transition without a subscriber's index and target.
func (e *targetState) transitionFrom(from Verdict) Transition {
	to, held := e.verdict.effective()
	return Transition{
		From:            from,
		To:              to,
		Effective:       held,
		Damped:          e.damped,
		SlowStartWeight: e.verdict.slowStartWeight,
		Response:        e.response.smoothed,
		Reason:          e.cause.Reason,
		Latency:         e.cause.Latency,
		At:              e.since(),
	}
}

// since returns when e got its effective verdict.
func (e *targetState) since() time.Time {
	if !e.verdict.staleSince.IsZero() {
		return e.verdict.staleSince
	}
	return e.verdict.since
}

// notifySubscribers queues e's transition for all its watches and composites.
func (o *scheduler) notifySubscribers(e *targetState, from Verdict) {
	e.response.reported = e.response.smoothed
	for _, s := range e.subs {
		o.queueNotify(s.watch)
		s.watch.queued = append(s.watch.queued, e.transition(s, from))
	}
	for _, w := range e.parents {
		o.markDirty(w)
	}
}

// markSettled records that the first round need not wait for e, which is unknown.
func (o *scheduler) markSettled(e *targetState) {
	e.settled = true
	for _, s := range e.subs {
		o.queueNotify(s.watch)
		s.watch.idle = append(s.watch.idle, s.index)
	}
	for _, w := range e.parents {
		o.markDirty(w)
	}
}

// queueNotify queues w for notification.
func (o *scheduler) queueNotify(w *Watch) {
	if len(w.queued)+len(w.idle) == 0 {
		o.pendingNotify = append(o.pendingNotify, w)
	}
}

// staleReason returns the reason that e is uncertain.
func (e *targetState) staleReason(now time.Time) string {
	s := fmt.Sprintf("no conclusive result for %v", now.Sub(e.verdict.lastResultAt).Round(time.Second))
	if last := e.history.results(); len(last) > 0 && (last[0].Outcome == probe.Inconclusive || e.stuck) {
		s += "; the last probe: " + last[0].Reason
	}
	return s
}

// provisionalCounts counts the verdicts that are carried over as provisional.
type provisionalCounts struct {
	restored int // too old
	changed  int // of a check with a different probe
}

// logProvisional logs, in one line, how many verdicts a new watch has carried over as provisional; see isProvisional.
func (o *scheduler) logProvisional() {
	if o.provisional != (provisionalCounts{}) {
		o.log.LogAttrs(o.ctx, slog.LevelInfo, "restored health states are provisional",
			slog.Int("restored", o.provisional.restored), slog.Int("changed", o.provisional.changed))
	}
	o.provisional = provisionalCounts{}
}

// isProvisional reports whether t to next only begins a provisional state, or ends one with the same verdict: not worth a
// log line, of which a restart would cause thousands.
func (t verdictState) isProvisional(next verdictState) bool {
	from, was := t.effective()
	to, _ := next.effective()
	return next.provisional && from == Unknown && to == Uncertain ||
		t.provisional && from == Uncertain && to == was
}

func (o *scheduler) logTransition(e *targetState, from Verdict, r probe.Result) {
	to, held := e.verdict.effective()
	level := slog.LevelWarn
	if to == Up {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("check", e.name()),
		slog.String("address", e.addr.String()),
		slog.String("from", from.String()),
		slog.String("to", to.String()),
	}
	if to == Uncertain {
		attrs = append(attrs, slog.String("effective", held.String()))
	}
	attrs = append(attrs, slog.String("reason", r.Reason), slog.Duration("latency", r.Latency))
	if len(e.parts) == 0 {
		attrs = append(attrs, slog.String("last", e.history.summary()))
	}
	o.log.LogAttrs(o.ctx, level, "health state changed", attrs...)
}

// logHold logs the begin and end of flap damping and of the wait for failback; hold_down is routine and not logged.
func (o *scheduler) logHold(e *targetState, now time.Time) {
	c := e.prepared.check
	was := e.held
	if e.held = e.verdict.visibleHold(now, c); e.held == was {
		return
	}
	o.changed()
	attrs := []slog.Attr{slog.String("check", e.name()), slog.String("address", e.addr.String())}
	switch {
	case e.held == damped:
		f := c.FlapDamping
		o.log.LogAttrs(o.ctx, slog.LevelWarn, "flapping, held down", append(attrs,
			slog.Int("transitions", f.Turns), slog.Duration("window", f.Window),
			slog.Duration("hold", e.verdict.damping.hold), slog.String("until", e.verdict.damping.until.Format(time.RFC3339)))...)
	case was == damped:
		o.log.LogAttrs(o.ctx, slog.LevelInfo, "hold released", attrs...)
	}
	if e.held == failback {
		o.log.LogAttrs(o.ctx, slog.LevelWarn, "waiting for manual failback", append(attrs, slog.Int("streak", e.verdict.streak))...)
	}
}
