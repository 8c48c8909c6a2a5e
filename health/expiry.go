package health

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"
)

// day is the minimum time between two log lines about the same certificate.
const day = 24 * time.Hour

// verifiedUntil returns when a peer can no longer be verified: when the first certificate of its longest-lived chain
// expires. Without verification, it returns when the peer's own certificate expires.
func verifiedUntil(s tls.ConnectionState) time.Time {
	if len(s.VerifiedChains) == 0 {
		return chainExpiry(s.PeerCertificates[:1])
	}
	var last time.Time
	for _, chain := range s.VerifiedChains {
		if end := chainExpiry(chain); end.After(last) {
			last = end
		}
	}
	return last
}

func chainExpiry(chain []*x509.Certificate) time.Time {
	var first time.Time
	for _, c := range chain {
		first = earlierOf(first, c.NotAfter)
	}
	return first
}

// earlierOf returns the earlier of two times; a may be zero for none.
func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// formatExpiry formats a date and its distance from now.
func formatExpiry(end, now time.Time) string {
	left, unit := daysLeft(end, now), "days"
	if left == 1 {
		unit = "day"
	}
	return fmt.Sprintf("on %s, in %d %s", end.UTC().Format(time.DateOnly), left, unit)
}

// daysLeft returns the whole days from now to end.
func daysLeft(end, now time.Time) int { return int(end.Sub(now) / day) }

// warnExpiry logs, at most once a day for each target, that the certificate of its last probe expires soon. It changes no
// verdict: users are still served.
func (o *scheduler) warnExpiry(e *targetState, r Result) {
	now, days := time.Now(), e.prepared.check.TLS.WarnDays
	if days == 0 || r.Expires.IsZero() || now.Before(e.nextExpiryLog) {
		return
	}
	left := daysLeft(r.Expires, now)
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
