package daemon

import (
	"net/netip"
	"time"

	"meridian/control/event"
	"meridian/server/answer"
)

// limitingEnds is the time without a limited answer after which rate limiting has ended.
const limitingEnds = 30 * time.Second

// limitingWatch reports when rate limiting begins and ends. The goroutine of tick uses it.
type limitingWatch struct {
	before uint64 // answers over the limit, when looked at last
	last   time.Time
	began  uint64 // before, when limiting began
	active bool
}

// watchLimiting reports the answers over the limit since the last call.
func (l *instance) watchLimiting(w *limitingWatch, now time.Time, c *answer.Counters, network func() netip.Prefix) {
	limits := &l.served().Config.Server.RateLimit
	over := c.RateTruncated + c.RateDropped + c.RateBadCookie + c.RateDryRun
	more := over > w.before
	begun := w.before
	w.before = over
	switch {
	case more && limits.Rate > 0:
		w.last = now
		if w.active {
			return
		}
		w.active, w.began = true, begun
		source := network().String()
		l.Logger.Warn("rate limiting began", "network", source, "rate", limits.Rate, "dry_run", limits.DryRun)
		l.control.Events().Add(event.Event{
			Kind: event.RateLimit, Severity: event.Warning, Subject: source,
			Message: "answers to " + source + " and maybe others are over server.rate_limit",
		})
	case w.active && now.Sub(w.last) >= limitingEnds:
		w.active = false
		l.Logger.Info("rate limiting ended", "answers", over-w.began)
		l.control.Events().Add(event.Event{
			Kind: event.RateLimit, Severity: event.Info, Subject: "server",
			Message: "no answer was over server.rate_limit for " + limitingEnds.String(),
		})
	}
}
