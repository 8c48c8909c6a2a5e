package health

import (
	"log/slog"
	"time"

	"meridian/health/probe"
)

// day is the minimum time between two log lines about the same certificate.
const day = 24 * time.Hour

// warnExpiry logs, at most once a day for each target, that the certificate of its last probe expires soon. It changes no
// verdict: users are still served.
func (o *scheduler) warnExpiry(e *targetState, r probe.Result) {
	now, days := time.Now(), e.prepared.check.TLS.WarnDays
	if days == 0 || r.Expires.IsZero() || now.Before(e.nextExpiryLog) {
		return
	}
	left := probe.DaysLeft(r.Expires, now)
	if left >= days {
		return
	}
	e.nextExpiryLog = now.Add(day)
	o.log.LogAttrs(o.ctx, slog.LevelWarn, "certificate expires soon",
		slog.String("check", e.name()),
		slog.String("address", e.addr.String()),
		slog.String("expires", r.Expires.UTC().Format(time.RFC3339)),
		slog.Int("days", left))
}
