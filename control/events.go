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

// Audit is a change that was asked for through the API.
type Audit struct {
	Who       string // the name of a token or certificate
	From      netip.Addr
	What      string // "set an override"
	Subject   string
	Reason    string
	Result    string // "done", or why not
	Request   string // the id of the request
	Guardrail string // the reason to override the guardrails; empty: they bound
}

// RecordAudit records a change made through the API.
func (c *Control) RecordAudit(a Audit) {
	severity := event.Info
	if a.Result != "done" {
		severity = event.Warning
	}
	fields := map[string]string{"who": a.Who, "from": a.From.String(), "what": a.What, "result": a.Result}
	for key, value := range map[string]string{"reason": a.Reason, "request": a.Request, "override_guardrail": a.Guardrail} {
		if value != "" {
			fields[key] = value
		}
	}
	c.report(slog.LevelInfo, "change by the API",
		[]any{
			"audit", true, "who", a.Who, "from", a.From, "what", a.What, "target", a.Subject, "reason", a.Reason, "result", a.Result,
			"request", a.Request, "override_guardrail", a.Guardrail,
		},
		event.Event{Kind: event.Audit, Severity: severity, Subject: a.Subject, Message: a.What + " by " + a.Who + ": " + a.Result, Fields: fields})
	c.markDirty()
}

// event returns the event of what happened to an override.
func (s *Override) event(severity event.Severity, what string) event.Event {
	fields := map[string]string{"kind": s.Kind}
	if s.Value != "" {
		fields["value"] = s.Value
	}
	if s.Reason != "" {
		fields["reason"] = s.Reason
	}
	if s.Owner != "" {
		fields["owner"] = s.Owner
	}
	if s.Shared != nil {
		fields["by"], fields["node"] = s.Shared.By, s.Shared.Node
	}
	if s.IsScheduled() {
		fields["at"] = s.At.Format(time.RFC3339)
	}
	if !s.Until.IsZero() {
		fields["until"] = s.Until.Format(time.RFC3339)
	}
	message := strings.TrimSuffix(fmt.Sprintf("%s %s: %s", s.Effect(), what, s.ownedReason()), ": ")
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
