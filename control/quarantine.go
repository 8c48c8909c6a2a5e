package control

import (
	"log/slog"
	"time"

	"meridian/control/event"
)

// reportQuarantineLocked reports the packets that have come into quarantine, and ends the quarantine of those whose time
// has passed.
func (c *Control) reportQuarantineLocked(now time.Time) {
	for _, p := range c.server.Quarantined() {
		if p.Number <= c.quarantineReported {
			continue
		}
		c.quarantineReported = p.Number
		until := p.Until.Format(time.RFC3339)
		c.report(slog.LevelError, "packet in quarantine", []any{"query", p.Query, "client", p.Client, "until", until, "reason", p.Reason}, event.Event{
			Kind: event.Quarantine, Severity: event.Error, Subject: p.Query, Message: "a packet caused a panic, and is dropped until " + until,
			Fields: map[string]string{"client": p.Client, "reason": p.Reason},
		})
	}
	c.server.ReleaseQuarantined(now)
}
