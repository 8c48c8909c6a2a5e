package probe

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// day is the unit of the time until a certificate expires.
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
	left, unit := DaysLeft(end, now), "days"
	if left == 1 {
		unit = "day"
	}
	return fmt.Sprintf("on %s, in %d %s", end.UTC().Format(time.DateOnly), left, unit)
}

// DaysLeft returns the whole days from now to end.
func DaysLeft(end, now time.Time) int { return int(end.Sub(now) / day) }
