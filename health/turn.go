package health

import (
	"fmt"
	"log/slog"
	"time"
)

// turn is what s is told of e, of whose verdict it knows from.
func (e *entry) turn(s sub, from Verdict) Turn {
	t := e.news(from)
	t.Index, t.Target = s.index, s.watch.targets[s.index]
	return t
}

// news is turn for nobody in particular.
func (e *entry) news(from Verdict) Turn {
	to, held := e.tally.shown()
	return Turn{
		From:     from,
		To:       to,
		Held:     held,
		Damped:   e.damped,
		Share:    e.tally.share,
		Response: e.response.smoothed,
		Reason:   e.cause.Reason,
		Latency:  e.cause.Latency,
		At:       e.since(),
	}
}

// since is when e became what it is shown as.
func (e *entry) since() time.Time {
	if !e.tally.lost.IsZero() {
		return e.tally.lost
	}
	return e.tally.since
}

// turned notes e's turn for everybody who watches it.
func (o *owner) turned(e *entry, from Verdict) {
	e.response.told = e.response.smoothed
	for _, s := range e.subs {
		o.note(s.watch)
		s.watch.news = append(s.watch.news, e.turn(s, from))
	}
	for _, w := range e.wholes {
		o.affected(w)
	}
}

// settle notes that the first round need not wait for e, which is unknown.
func (o *owner) settle(e *entry) {
	e.settled = true
	for _, s := range e.subs {
		o.note(s.watch)
		s.watch.idle = append(s.watch.idle, s.index)
	}
	for _, w := range e.wholes {
		o.affected(w)
	}
}

// note has w told with the others.
func (o *owner) note(w *Watch) {
	if len(w.news)+len(w.idle) == 0 {
		o.untold = append(o.untold, w)
	}
}

// silence is why e is uncertain.
func (e *entry) silence(now time.Time) string {
	s := fmt.Sprintf("no conclusive result for %v", now.Sub(e.tally.heard).Round(time.Second))
	if last := e.history.results(); len(last) > 0 && (last[0].Outcome == Inconclusive || e.stuck) {
		s += "; the last probe: " + last[0].Reason
	}
	return s
}

// doubts are how many verdicts are taken over in doubt.
type doubts struct {
	remembered int // from too long ago
	changed    int // of a check that probed something else
}

// logDoubts says, in one line for all, how many verdicts a subscription has taken over
// in doubt: see doubtOf.
func (o *owner) logDoubts() {
	if o.doubts != (doubts{}) {
		o.log.LogAttrs(o.ctx, slog.LevelInfo, "verdicts in doubt until the next result",
			slog.Int("remembered", o.doubts.remembered), slog.Int("changed", o.doubts.changed))
	}
	o.doubts = doubts{}
}

// doubtOf reports whether from t to next a doubt begins, or ends with the verdict that
// there was: of some thousand at a restart each would be a line, and none of them news.
func (t tally) doubtOf(next tally) bool {
	from, was := t.shown()
	to, _ := next.shown()
	return next.doubted && from == Unknown && to == Uncertain ||
		t.doubted && from == Uncertain && to == was
}

func (o *owner) logTurn(e *entry, from Verdict, r Result) {
	to, held := e.tally.shown()
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
		attrs = append(attrs, slog.String("held", held.String()))
	}
	attrs = append(attrs, slog.String("reason", r.Reason), slog.Duration("latency", r.Latency))
	if len(e.parts) == 0 {
		attrs = append(attrs, slog.String("last", e.history.evidence()))
	}
	o.log.LogAttrs(o.ctx, level, "verdict turned", attrs...)
}

// noteHold says in the log that e begins or ends to be held down, or to wait
// for an operator; hold_down is what was asked for, and no news.
func (o *owner) noteHold(e *entry, now time.Time) {
	c := e.checker.check
	was := e.held
	if e.held = e.tally.holds(now, c); e.held == was {
		return
	}
	o.changed()
	attrs := []slog.Attr{slog.String("check", e.name()), slog.String("address", e.addr.String())}
	switch {
	case e.held == damped:
		f := c.FlapDamping
		o.log.LogAttrs(o.ctx, slog.LevelWarn, "held down, it turns too often", append(attrs,
			slog.Int("turns", f.Turns), slog.Duration("window", f.Window),
			slog.Duration("hold", e.tally.damping.hold), slog.String("until", e.tally.damping.until.Format(time.RFC3339)))...)
	case was == damped:
		o.log.LogAttrs(o.ctx, slog.LevelInfo, "held down no more", attrs...)
	}
	if e.held == failback {
		o.log.LogAttrs(o.ctx, slog.LevelWarn, "waits for failback to be cleared", append(attrs, slog.Int("row", e.tally.row))...)
	}
}
