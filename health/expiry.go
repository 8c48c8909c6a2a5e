package health

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// day is the minimum time between two log lines about the same certificate.
const day = 24 * time.Hour

// Certificate is when the certificate of a target expires, or another of its chain.
type Certificate struct {
	Target
	Expires time.Time
}

// Certificates holds the certificates that the probes of a Prober have seen: of each watched target and each part of one,
// the last. The zero value is empty. It is safe for concurrent use.
type Certificates struct {
	mu   sync.Mutex // guards seen
	seen map[*targetState]Certificate
}

// All returns the certificates, in no order.
func (c *Certificates) All() []Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.seen))
}

// set records the certificate of e. A nil c records nothing.
func (c *Certificates) set(e *targetState, check *config.Check, expires time.Time) {
	if c == nil || expires.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[*targetState]Certificate)
	}
	c.seen[e] = Certificate{Target{check, e.addr}, expires}
}

// carryOver records the certificate of p for e, which replaces it.
func (c *Certificates) carryOver(e, p *targetState) {
	if c == nil {
		return
	}
	c.mu.Lock()
	known, ok := c.seen[p]
	c.mu.Unlock()
	if ok {
		c.set(e, e.prepared.check, known.Expires)
	}
}

// remove forgets the certificate of e.
func (c *Certificates) remove(e *targetState) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, e)
}

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
