package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"meridian/control/event"
)

// reporter reports what happened: one call writes a log line and adds its events.
type reporter struct {
	log    *slog.Logger
	events *event.Log
}

func (r *reporter) report(level slog.Level, message string, attributes []any, events ...event.Event) {
	r.log.Log(context.Background(), level, message, attributes...)
	for _, e := range events {
		r.events.Add(e)
	}
}

// Events returns the event log.
func (c *Control) Events() *event.Log { return c.events }

// RecordAudit records a change made through the API: by a user, from an address.
func (c *Control) RecordAudit(who string, from netip.Addr, what, subject, reason, result string) {
	severity := event.Info
	if result != "done" {
		severity = event.Warning
	}
	fields := map[string]string{"who": who, "from": from.String(), "what": what, "result": result}
	if reason != "" {
		fields["reason"] = reason
	}
	c.report(slog.LevelInfo, "change by the API",
		[]any{"audit", true, "who", who, "from", from, "what", what, "target", subject, "reason", reason, "result", result},
		event.Event{Kind: event.Audit, Severity: severity, Subject: subject, Message: what + " by " + who + ": " + result, Fields: fields})
	c.markDirty()
}

// event returns the event of what happened to an override.
func (s *Override) event(severity event.Severity, what string) event.Event {
	fields := map[string]string{"kind": s.Kind}
	if s.Reason != "" {
		fields["reason"] = s.Reason
	}
	if !s.Until.IsZero() {
		fields["until"] = s.Until.Format(time.RFC3339)
	}
	message := strings.TrimSuffix(fmt.Sprintf("%s %s: %s", s.Kind, what, s.Reason), ": ")
	return event.Event{Kind: event.Override, Severity: severity, Subject: s.Target.String(), Message: message, Fields: fields}
}

// recordConfig records the outcome of a reload.
func (c *Control) recordConfig(file string, err error) {
	e := event.Event{Kind: event.Config, Severity: event.Info, Subject: file, Message: "reloaded"}
	if err != nil {
		e.Severity, e.Message = event.Error, "reload refused: "+err.Error()
	}
	c.events.Add(e)
	c.markDirty()
}
