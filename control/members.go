package control

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"meridian/control/event"
	"meridian/dnsname"
	"meridian/snapshot"
	"meridian/transfer/catalog"
)

// maxMemberEvents bounds the events of one change of catalogs: a catalog may have many zones.
const maxMemberEvents = 100

// maxNamedZones is how many zones a log line names.
const maxNamedZones = 10

// memberConflicts are the zones in catalogs that are not served for them.
type memberConflicts struct {
	mu  sync.Mutex
	all []catalog.Conflict
}

// CatalogStatus is the state of a catalog of other servers, as JSON.
type CatalogStatus struct {
	Members   int                `json:"members"` // that are served for it
	Leaving   int                `json:"leaving"` // of these, that it does not list any more
	Conflicts []catalog.Conflict `json:"conflicts,omitempty"`
}

// MembershipStatus is why a zone is served that is not in the configuration, as JSON.
type MembershipStatus struct {
	Catalog dnsname.Name `json:"catalog"`
	Group   string       `json:"group,omitempty"`  // whose settings it has
	Left    time.Time    `json:"left,omitzero"`    // when the catalog listed it no longer
	Removed time.Time    `json:"removed,omitzero"` // when it is served no more
}

// RecordMembers records what has happened to the zones of catalogs, and zones that are in conflict now.
func (c *Control) RecordMembers(o *catalog.Outcome) {
	c.logMembers(o.Changes)
	for i := range o.Changes[:min(len(o.Changes), maxMemberEvents)] {
		change := &o.Changes[i]
		fields := map[string]string{"catalog": string(change.Catalog)}
		if change.From != "" {
			fields["from"] = string(change.From)
		}
		severity := event.Info
		if change.What == catalog.Left || change.What == catalog.Removed {
			severity = event.Warning
		}
		c.events.Add(event.Event{Kind: event.Zone, Severity: severity, Subject: string(change.Zone), Message: change.What, Fields: fields})
	}
	fresh := c.conflicts.replace(o.Conflicts)
	for i := range fresh[:min(len(fresh), maxMemberEvents)] {
		f := &fresh[i]
		c.report(slog.LevelWarn, "a zone in a catalog is not served for it", []any{"zone", f.Zone, "catalog", f.Catalog, "reason", f.Reason}, event.Event{
			Kind: event.Zone, Severity: event.Warning, Subject: string(f.Zone), Message: fmt.Sprintf("catalog %s lists the zone, and it is not served for it: %s", f.Catalog, f.Reason),
			Fields: map[string]string{"catalog": string(f.Catalog), "reason": f.Reason},
		})
	}
	if len(o.Changes)+len(fresh) > 0 {
		c.markDirty()
	}
}

// replace replaces the conflicts, and returns those that were none before.
func (m *memberConflicts) replace(all []catalog.Conflict) (fresh []catalog.Conflict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := make(map[catalog.Conflict]bool, len(m.all))
	for _, f := range m.all {
		known[f] = true
	}
	for _, f := range all {
		if !known[f] {
			fresh = append(fresh, f)
		}
	}
	m.all = all
	return fresh
}

func (m *memberConflicts) current() []catalog.Conflict {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all
}

// logMembers logs a line for each catalog and kind of change.
func (c *Control) logMembers(changes []catalog.Change) {
	type subject struct {
		catalog dnsname.Name
		what    string
	}
	zones, order := map[subject][]string{}, []subject(nil)
	for i := range changes {
		at := subject{changes[i].Catalog, changes[i].What}
		if zones[at] == nil {
			order = append(order, at)
		}
		zones[at] = append(zones[at], string(changes[i].Zone))
	}
	for _, at := range order {
		all := zones[at]
		c.log.Info("zones of a catalog changed", "catalog", at.catalog, "change", at.what, "count", len(all), "zones", strings.Join(all[:min(len(all), maxNamedZones)], " "))
	}
}

// catalogStatuses returns the status of the catalogs of other servers, by name.
func (c *Control) catalogStatuses(s *snapshot.Snapshot) map[dnsname.Name]*CatalogStatus {
	all := map[dnsname.Name]*CatalogStatus{}
	for i := range s.Config.Zones {
		if z := &s.Config.Zones[i]; z.Consumed != nil {
			all[z.Name] = &CatalogStatus{}
		}
	}
	for i := range s.Members {
		if of := all[s.Members[i].Catalog]; of != nil {
			of.Members++
			if !s.Members[i].Left.IsZero() {
				of.Leaving++
			}
		}
	}
	for _, f := range c.conflicts.current() {
		if of := all[f.Catalog]; of != nil {
			of.Conflicts = append(of.Conflicts, f)
		}
	}
	return all
}

// NamedCatalog is a catalog of other servers with its status.
type NamedCatalog struct {
	Catalog dnsname.Name `json:"catalog"`
	CatalogStatus
}

// Catalogs returns the catalogs of other servers, in the order of the configuration.
func (c *Control) Catalogs() (all []NamedCatalog) {
	s := c.currentView().Snapshot
	if s == nil {
		return nil
	}
	statuses := c.catalogStatuses(s)
	for i := range s.Config.Zones {
		if of := statuses[s.Config.Zones[i].Name]; of != nil {
			all = append(all, NamedCatalog{s.Config.Zones[i].Name, *of})
		}
	}
	return all
}

// membershipOf returns why a zone is served that is not in the configuration; nil: it is there.
func membershipOf(s *snapshot.Snapshot, zone int) *MembershipStatus {
	z := &s.Config.Zones[zone]
	m := s.Members.Find(z.Name)
	if z.Member == nil || m == nil {
		return nil
	}
	status := &MembershipStatus{Catalog: z.Member.Catalog, Group: z.Member.Group, Left: m.Left}
	if !m.Left.IsZero() {
		for i := range s.Config.Zones {
			if of := &s.Config.Zones[i]; of.Name == m.Catalog && of.Consumed != nil {
				status.Removed = m.Left.Add(of.Consumed.Grace)
			}
		}
	}
	return status
}
