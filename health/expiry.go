package health

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"
)

// day is how long a line about a certificate is not said again.
const day = 24 * time.Hour

// lastsUntil is when a peer can no longer be verified by what it showed: when
// the first certificate of its longest-lived chain expires. Where nothing was
// verified, it is when the peer's own does.
func lastsUntil(s tls.ConnectionState) time.Time {
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

// earlierOf is the earlier of two times; zero is none.
func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// when is a day, and how far it is from now.
func when(end, now time.Time) string {
	left, unit := daysLeft(end, now), "days"
	if left == 1 {
		unit = "day"
	}
	return fmt.Sprintf("on %s, in %d %s", end.UTC().Format(time.DateOnly), left, unit)
}

// daysLeft are the whole days from now to end.
func daysLeft(end, now time.Time) int { return int(end.Sub(now) / day) }

// warnExpiry says, once a day at most for each target, that the certificate
// which its last probe saw has few days left. No verdict turns by it: users are
// still served.
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
