package control

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"meridian/control/event"
	"meridian/pools"
)

type memberName struct{ pool, member string }

func nameOf(d *pools.Deferral) memberName { return memberName{d.Pool, d.Member} }

// compareDeferredLocked reports the deferrals that began and ended with the current tree.
func (c *conditions) compareDeferredLocked() (news bool) {
	tree := c.current
	tree.TakeDeferrals() // discard earlier events: the current deferrals are listed below
	ended, ejected := c.deferred, map[memberName]bool{}
	c.deferred = map[memberName]pools.Deferral{}
	var lines []pools.Deferral
	for _, e := range tree.Ejections() {
		d := pools.Deferral{Pool: e.Pool, Member: e.Member, Since: e.Since, Reason: e.Reason}
		if !e.Deferred {
			ejected[nameOf(&d)] = true
			continue
		}
		if _, known := ended[nameOf(&d)]; !known {
			lines = append(lines, d)
		}
		delete(ended, nameOf(&d))
		c.deferred[nameOf(&d)] = d
	}
	for name, d := range ended {
		d.End = pools.Removed
		if ejected[name] {
			d.End = pools.Ejected
		}
		lines = append(lines, d)
	}
	c.reportDeferrals(lines)
	return len(lines) > 0
}

// takeDeferralsLocked reports the deferrals that began and ended in the current tree since the last
// call.
func (c *conditions) takeDeferralsLocked() (news bool) {
	var lines []pools.Deferral
	for _, d := range c.current.TakeDeferrals() {
		name := nameOf(&d)
		if _, logged := c.deferred[name]; logged == (d.End == pools.Ongoing) {
			continue
		}
		if d.End == pools.Ongoing {
			c.deferred[name] = d
		} else {
			delete(c.deferred, name)
		}
		lines = append(lines, d)
	}
	c.reportDeferrals(lines)
	return len(lines) > 0
}

// reportDeferrals writes one log line for each pool and outcome, and an event for each member.
func (c *conditions) reportDeferrals(all []pools.Deferral) {
	slices.SortStableFunc(all, func(a, b pools.Deferral) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), int(a.End)-int(b.End))
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Pool == all[0].Pool && all[n].End == all[0].End {
			n++
		}
		c.reportOutcome(all[:n])
		all = all[n:]
	}
}

// reportOutcome reports deferrals of one pool with the same outcome.
func (c *conditions) reportOutcome(of []pools.Deferral) {
	level, text, severity := slog.LevelError, "ejection deferred", event.Error
	switch of[0].End {
	case pools.Ejected: // the state of the member is a problem of its own
		level, text, severity = slog.LevelWarn, "deferred ejection carried out", event.Info
	case pools.Recovered, pools.Removed:
		level, text, severity = slog.LevelInfo, "deferred ejection ended", event.Info
	}
	outcome := of[0].End.String()
	events := make([]event.Event, len(of))
	for i := range of {
		d := &of[i]
		events[i] = event.Event{
			Kind: event.Ejection, Severity: severity, Subject: d.Pool + "/" + d.Member, Message: text + ": " + d.Reason,
			Fields: map[string]string{"outcome": outcome, "reason": d.Reason},
		}
	}
	c.report(level, text, []any{"pool", of[0].Pool, "member", membersText(of), "members", len(of), "outcome", outcome, "reason", of[0].Reason}, events...)
}

// membersText lists the members of deferrals, as many as fit a line.
func membersText(of []pools.Deferral) string {
	const most = 8
	var names []string
	for i := range of {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(of)-most))
			break
		}
		names = append(names, of[i].Member)
	}
	return strings.Join(names, " ")
}
