package control

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
)

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
	c.log.Info("change by the API", "audit", true, "who", who, "from", from, "what", what, "target", subject, "reason", reason, "result", result)
	c.events.Add(event.Event{Kind: event.Audit, Severity: severity, Subject: subject, Message: what + " by " + who + ": " + result, Fields: fields})
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

// recordMode records that a pool answers from something else.
func recordMode(events *event.Log, c pools.Change) {
	kind, severity := event.Mode, event.Warning
	if c.To == pools.FailedOpen || c.From == pools.FailedOpen {
		kind = event.FailOpen
	}
	switch c.To {
	case pools.Normal:
		severity = event.Info
	case pools.FailedOpen, pools.Dead:
		severity = event.Error
	}
	events.Add(event.Event{
		Kind: kind, Severity: severity, Subject: c.Pool, Message: fmt.Sprintf("mode %s for %s, was %s", c.To, c.Family, c.From),
		Fields: map[string]string{"family": c.Family.String(), "from": c.From.String(), "to": c.To.String()},
	})
}

// recordDeferrals records the outcome of deferrals of one pool.
func recordDeferrals(events *event.Log, of []pools.Deferral, text string) {
	severity := event.Info
	switch of[0].End {
	case pools.Ongoing:
		severity = event.Error
	case pools.Ejected:
		severity = event.Warning
	}
	for i := range of {
		d := &of[i]
		events.Add(event.Event{
			Kind: event.Ejection, Severity: severity, Subject: d.Pool + "/" + d.Member, Message: text + ": " + d.Reason,
			Fields: map[string]string{"outcome": d.End.String(), "reason": d.Reason},
		})
	}
}

// recordLostRegion records that the clients of a region are spread, or no longer.
func recordLostRegion(events *event.Log, severity event.Severity, r lostRegion, text string, shares string) {
	fields := map[string]string{"region": r.region, "family": r.family}
	if shares != "" {
		fields["shares"] = shares
	}
	events.Add(event.Event{Kind: event.Spill, Severity: severity, Subject: r.pool, Message: r.region + ": " + text, Fields: fields})
}

// recordOverride records what happened to an override.
func (c *Control) recordOverride(s *Override, severity event.Severity, what string) {
	fields := map[string]string{"kind": s.Kind}
	if s.Reason != "" {
		fields["reason"] = s.Reason
	}
	if !s.Until.IsZero() {
		fields["until"] = s.Until.Format(time.RFC3339)
	}
	message := strings.TrimSuffix(fmt.Sprintf("%s %s: %s", s.Kind, what, s.Reason), ": ")
	c.events.Add(event.Event{Kind: event.Override, Severity: severity, Subject: s.Target.String(), Message: message, Fields: fields})
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
