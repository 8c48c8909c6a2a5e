package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
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

// recordTransitions records health state changes of a tree that serves. The first result of an
// address is an event only if it is down.
func (c *Control) recordTransitions(tree *pools.Tree, transitions []health.Transition) {
	if at := c.currentView(); at.Snapshot == nil || at.Snapshot.Pools != tree {
		return
	}
	for i := range transitions {
		t := &transitions[i]
		if t.From == t.To || t.From == health.Unknown && t.To != health.Down {
			continue
		}
		severity := event.Warning
		if t.To == health.Up {
			severity = event.Info
		}
		c.events.Add(event.Event{
			Time: t.At, Kind: event.State, Severity: severity, Subject: targetSubject(tree, t),
			Message: fmt.Sprintf("%s, was %s: %s", t.To, t.From, t.Reason),
			Fields: map[string]string{
				"address": t.Target.Addr.String(), "check": t.Target.Check.Name, "from": t.From.String(), "to": t.To.String(), "reason": t.Reason,
			},
		})
	}
}

// targetSubject names the first member that uses the address of a state change.
func targetSubject(tree *pools.Tree, t *health.Transition) string {
	uses := tree.TargetUses(t.Index)
	switch {
	case len(uses) > 0 && uses[0].Pool != "":
		return uses[0].Pool + "/" + uses[0].Member
	case len(uses) > 0:
		return "region:" + uses[0].Region
	}
	return t.Target.Addr.String()
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
