package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"meridian/control/event"
	"meridian/dnsname"
	"meridian/transfer/secondary"
)

// copies are the zones that come from primaries.
type copies struct {
	keeper   atomic.Pointer[secondary.Keeper] // nil: there are none yet
	complete atomic.Bool                      // no zone has waited for its first transfer since the start
}

// UseCopies sets the keeper of the zones that come from primaries.
func (c *Control) UseCopies(k *secondary.Keeper) { c.copies.keeper.Store(k) }

// RecordZone records what happened to a zone that comes from primaries.
func (c *Control) RecordZone(e secondary.Event) {
	level := map[secondary.Severity]slog.Level{secondary.Warning: slog.LevelWarn, secondary.Error: slog.LevelError}[e.Severity]
	attributes := []any{"zone", e.Zone}
	for _, key := range [...]string{"primary", "serial", "records", "bytes", "confirmed", "reason", "retry_in"} {
		if value := e.Fields[key]; value != "" {
			attributes = append(attributes, key, value)
		}
	}
	c.report(level, e.Message, attributes,
		event.Event{Kind: event.Zone, Severity: event.Severity(e.Severity), Subject: string(e.Zone), Message: e.Message, Fields: e.Fields})
	c.markDirty()
}

// CommitZones is Commit for a generation that differs from the one that serves only in its zones.
func (c *Control) CommitZones(g Generation) { c.commit(g) }

// RefreshZone asks the primaries of a zone now, and waits for the result. With force the zone is transferred whole.
func (c *Control) RefreshZone(ctx context.Context, name dnsname.Name, force bool) (Zone, error) {
	err := c.copies.keeper.Load().Refresh(ctx, name, force)
	switch {
	case errors.Is(err, secondary.ErrUnknown):
		return Zone{}, &RequestError{NotFound: true, What: fmt.Sprintf("zone %s has no primaries here", name), Hint: "meridian zone list lists the zones"}
	case err != nil:
		return Zone{}, &RequestError{What: err.Error(), Hint: "the zone that was served is served on"}
	}
	for _, s := range c.copies.keeper.Load().Status(time.Now()) {
		if s.Zone == name {
			return Zone{Zone: name, Serial: s.Serial, Nameservers: []dnsname.Name{}, Bound: []BoundName{}, Secondary: &s}, nil
		}
	}
	return Zone{}, &RequestError{NotFound: true, What: fmt.Sprintf("zone %s has no primaries any more", name)}
}

// copyStatuses returns the status of the zones that come from primaries, by name.
func (c *Control) copyStatuses(now time.Time) map[dnsname.Name]*secondary.Status {
	all := map[dnsname.Name]*secondary.Status{}
	for _, s := range c.copies.keeper.Load().Status(now) {
		all[s.Zone] = &s
	}
	return all
}

// Copies returns the status of the zones that come from primaries, in order.
func (c *Control) Copies() []secondary.Status { return c.copies.keeper.Load().Status(time.Now()) }

// waitingZones returns why the server is not ready, or only partly: zones that no primary has sent yet. A start waits for
// them; a reload that adds one does not make a server that is ready unready, because other zones depend on it.
func (c *Control) waitingZones() (why string, ready bool) {
	waiting := c.copies.keeper.Load().Waiting()
	if len(waiting) == 0 {
		c.copies.complete.Store(true)
		return "", true
	}
	why = fmt.Sprintf("zone %s is answered SERVFAIL: no primary has sent it yet", waiting[0])
	if n := len(waiting) - 1; n > 0 {
		why += fmt.Sprintf("; %d more zones wait, too", n)
	}
	return why, c.copies.complete.Load()
}
