package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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

// ZoneUpdates are dynamic updates of a zone by one key within a second.
type ZoneUpdates struct {
	Zone, Key      dnsname.Name
	Clients        []netip.Addr // the first ones
	Updates        int
	From, To       uint32   // serials
	Added, Deleted int      // records
	Records        []string // the first ones, such as "+www.example.com A"
}

// RecordUpdates records dynamic updates as one event. Each has a line in the log already.
func (c *Control) RecordUpdates(u *ZoneUpdates) {
	clients := make([]string, len(u.Clients))
	for i, a := range u.Clients {
		clients[i] = a.String()
	}
	key := strings.TrimSuffix(string(u.Key), ".")
	fields := map[string]string{
		"key": key, "client": strings.Join(clients, ", "), "updates": strconv.Itoa(u.Updates), "from": strconv.FormatUint(uint64(u.From), 10),
		"serial": strconv.FormatUint(uint64(u.To), 10), "added": strconv.Itoa(u.Added), "deleted": strconv.Itoa(u.Deleted), "records": strings.Join(u.Records, ", "),
	}
	message := fmt.Sprintf("updated by key %s from %s: serial %d, %d records added, %d deleted", key, fields["client"], u.To, u.Added, u.Deleted)
	c.events.Add(event.Event{Kind: event.Zone, Severity: event.Info, Subject: string(u.Zone), Message: message, Fields: fields})
	c.markDirty()
}

// CommitZones is Commit for a generation that differs from the one that serves only in its zones.
func (c *Control) CommitZones(g Generation) { c.commit(g) }

// RefreshZone asks the primaries of a zone now, and waits for the result.
func (c *Control) RefreshZone(ctx context.Context, name dnsname.Name, how secondary.How) (Zone, error) {
	err := c.copies.keeper.Load().Refresh(ctx, name, how)
	switch {
	case errors.Is(err, secondary.ErrUnknown):
		return Zone{}, &RequestError{NotFound: true, What: fmt.Sprintf("zone %s has no primaries here", name), Hint: "meridian zone list lists the zones"}
	case err != nil:
		return Zone{}, &RequestError{What: err.Error(), Hint: "the zone is unchanged; meridian zone status " + strings.TrimSuffix(string(name), ".") + " shows whether it is served"}
	}
	return c.awaitServed(ctx, name)
}

const (
	servedWithin  = 5 * time.Second // the zones of a large server take seconds to build
	servedLookups = 200 * time.Millisecond
)

// awaitServed returns a zone that comes from primaries, when a zone with the serial of its copy is served, or as it is after
// a bounded time: the copy may not fit the configuration.
func (c *Control) awaitServed(ctx context.Context, name dnsname.Name) (Zone, error) {
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	for !c.servesCopy(name) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(servedLookups):
		}
	}
	all := c.Zones()
	i := slices.IndexFunc(all, func(z Zone) bool { return z.Zone == name && z.Secondary != nil })
	if i < 0 {
		return Zone{}, &RequestError{NotFound: true, What: fmt.Sprintf("zone %s has no primaries any more", name), Hint: "meridian zone list lists the zones"}
	}
	return all[i], nil
}

// servesCopy reports whether a zone is served with the serial of its copy, or has no primaries any more.
func (c *Control) servesCopy(name dnsname.Name) bool {
	data := c.currentView().Snapshot.Zones
	zone, served := data.ApexOf(name.Wire())
	of := c.copyStatuses(time.Now())[name]
	return of == nil || served && data.Serial(zone) == of.Serial
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
