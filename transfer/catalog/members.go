package catalog

import (
	"slices"
	"strings"
	"time"

	"meridian/config"
	"meridian/dnsname"
)

// Member is a zone that is served because a catalog lists it.
type Member struct {
	Zone    dnsname.Name `json:"zone"`
	Catalog dnsname.Name `json:"catalog"`
	Label   string       `json:"label"`
	Groups  []string     `json:"groups,omitempty"`
	Owner   dnsname.Name `json:"owner,omitempty"` // the catalog that may take the zone over
	Left    time.Time    `json:"left,omitzero"`   // when the catalog listed the zone no longer; zero: it lists it
}

func (m *Member) equal(o *Member) bool {
	return m.Zone == o.Zone && m.Catalog == o.Catalog && m.Label == o.Label && slices.Equal(m.Groups, o.Groups) && m.Owner == o.Owner && m.Left.Equal(o.Left)
}

// Members are the members of all catalogs, in the order of their names. They are immutable.
type Members []Member

// Equal reports whether both are the same.
func (all Members) Equal(others Members) bool {
	return slices.EqualFunc(all, others, func(a, b Member) bool { return a.equal(&b) })
}

// Zones returns the zones to serve.
func (all Members) Zones() (zones []config.MemberZone) {
	for i := range all {
		zones = append(zones, config.MemberZone{Zone: all[i].Zone, Catalog: all[i].Catalog, Groups: all[i].Groups})
	}
	return zones
}

// Find returns the member of a name; nil: there is none.
func (all Members) Find(zone dnsname.Name) *Member {
	i, ok := slices.BinarySearchFunc(all, zone, func(m Member, name dnsname.Name) int { return strings.Compare(string(m.Zone), string(name)) })
	if !ok {
		return nil
	}
	return &all[i]
}

// Catalog is a catalog of the configuration.
type Catalog struct {
	Name    dnsname.Name
	Grace   time.Duration // that a zone is still served after it has left
	Known   bool          // false: no primary has sent it, and nothing is known of its zones
	Entries []Entry       // in order
}

// What has happened to a member.
const (
	Added    = "zone added by catalog"
	Left     = "zone left its catalog; it is served until the removal grace ends"
	Restored = "zone is back in its catalog"
	Removed  = "zone removed: its catalog has not listed it for the removal grace"
	Reset    = "zone reset: its label in the catalog has changed; it is transferred again"
	Moved    = "zone moved to another catalog"
	Released = "zone left to the configuration" // or its catalog was removed from there
)

// Change is a change of a zone of a catalog.
type Change struct {
	What    string
	Zone    dnsname.Name
	Catalog dnsname.Name // in which it is, or was
	From    dnsname.Name // of Moved: the catalog before
	Forget  bool         // the data so far is not that of the member
}

// Conflict is a zone in a catalog that is not served for it.
type Conflict struct {
	Zone    dnsname.Name `json:"zone"`
	Catalog dnsname.Name `json:"catalog"`
	Reason  string       `json:"reason"`
}

// Outcome is the result of Update.
type Outcome struct {
	Members   Members
	Changes   []Change
	Conflicts []Conflict
	Next      time.Time // when the grace of a zone ends; zero: of none
}

// claim is an entry of a catalog for a zone.
type claim struct {
	catalog *Catalog
	entry   *Entry
}

// updater makes an Outcome.
type updater struct {
	Outcome
	catalogs map[dnsname.Name]*Catalog
	claims   map[dnsname.Name][]claim // by zone, in the order of catalogs
	now      time.Time
}

// Update returns the members after the current catalogs, in the order of the configuration, and what has changed. configured reports whether a zone is written
// in the configuration: it stays there.
func (all Members) Update(catalogs []Catalog, configured func(dnsname.Name) bool, now time.Time) Outcome {
	u := &updater{catalogs: map[dnsname.Name]*Catalog{}, claims: map[dnsname.Name][]claim{}, now: now}
	for i := range catalogs {
		of := &catalogs[i]
		u.catalogs[of.Name] = of
		for j := range of.Entries {
			e := &of.Entries[j]
			u.claims[e.Zone] = append(u.claims[e.Zone], claim{of, e})
		}
	}
	names := make([]dnsname.Name, 0, len(u.claims)+len(all))
	for zone := range u.claims {
		names = append(names, zone)
	}
	for i := range all {
		if u.claims[all[i].Zone] == nil {
			names = append(names, all[i].Zone)
		}
	}
	slices.Sort(names)
	for _, zone := range names {
		u.update(zone, all.Find(zone), configured(zone))
	}
	return u.Outcome
}

// update decides about one zone:
//
//	the zone is                      and                                     outcome
//	configured                       -                                       never a member; a conflict with each catalog that lists it
//	a member, its catalog is gone    -                                       as if it was none
//	a member, its catalog lists it   with coo to another that lists it, too  moved to that one
//	                                 -                                       stays; reset if its label has changed
//	a member, not listed any more    another catalog lists it                moved to that one
//	                                 -                                       stays until the grace ends
//	no member                        a catalog lists it                      added to the first one
//
// Moved keeps the data only by coo and with the same label (RFC 9432 4.3.1).
func (u *updater) update(zone dnsname.Name, before *Member, configured bool) {
	claims := u.claims[zone]
	reason := ""
	switch {
	case configured:
		reason = "the zone is in the configuration of this server"
	case strings.Contains(string(zone), "*"):
		reason = "a zone has no wildcard in its name"
	}
	if reason != "" {
		u.refuse(claims, nil, reason)
		if before != nil {
			u.change(Change{What: Released, Zone: zone, Catalog: before.Catalog})
		}
		return
	}
	var of *Catalog
	if before != nil {
		if of = u.catalogs[before.Catalog]; of == nil {
			u.change(Change{What: Released, Zone: zone, Catalog: before.Catalog, Forget: len(claims) > 0})
			before = nil
		}
	}
	if before == nil {
		if len(claims) > 0 {
			u.take(&claims[0], claims)
			u.change(Change{What: Added, Zone: zone, Catalog: claims[0].catalog.Name})
		}
		return
	}
	u.updateMember(before, of, claims)
}

// updateMember is update for a zone that is a member of a catalog.
func (u *updater) updateMember(before *Member, of *Catalog, claims []claim) {
	own := claimOf(claims, before.Catalog)
	next := nextClaim(before, of, own, claims)
	switch {
	case next != nil && next != own:
		agreed := own != nil || before.Owner == next.catalog.Name
		u.take(next, claims)
		u.change(Change{What: Moved, Zone: before.Zone, Catalog: next.catalog.Name, From: before.Catalog, Forget: !agreed || next.entry.Label != before.Label})
	case own != nil:
		u.take(own, claims)
		if own.entry.Label != before.Label {
			u.change(Change{What: Reset, Zone: before.Zone, Catalog: before.Catalog, Forget: true})
		} else if !before.Left.IsZero() {
			u.change(Change{What: Restored, Zone: before.Zone, Catalog: before.Catalog})
		}
	default:
		u.refuse(claims, nil, "the zone is in catalog "+string(before.Catalog))
		u.keep(before, of)
	}
}

// nextClaim returns the claim of the catalog that a member moves to; nil: it stays. Its own claim is nil if it has left.
func nextClaim(before *Member, of *Catalog, own *claim, claims []claim) *claim {
	if own != nil {
		return claimOf(claims, own.entry.Owner)
	}
	if !of.Known || len(claims) == 0 {
		return nil
	}
	if next := claimOf(claims, before.Owner); next != nil {
		return next
	}
	return &claims[0]
}

// claimOf returns the claim of a catalog; nil: it has none.
func claimOf(claims []claim, catalog dnsname.Name) *claim {
	for i := range claims {
		if claims[i].catalog.Name == catalog {
			return &claims[i]
		}
	}
	return nil
}

// keep keeps a member that its catalog does not list, until the grace ends. Nothing changes while the catalog is not known.
func (u *updater) keep(before *Member, of *Catalog) {
	m := *before
	if of.Known && m.Left.IsZero() {
		m.Left = u.now
		u.change(Change{What: Left, Zone: m.Zone, Catalog: m.Catalog})
	}
	if !m.Left.IsZero() {
		end := m.Left.Add(of.Grace)
		if !u.now.Before(end) {
			u.change(Change{What: Removed, Zone: m.Zone, Catalog: m.Catalog, Forget: true})
			return
		}
		if u.Next.IsZero() || end.Before(u.Next) {
			u.Next = end
		}
	}
	u.Members = append(u.Members, m)
}

// take makes a zone a member by one of its claims. The others are in conflict.
func (u *updater) take(by *claim, claims []claim) {
	e := by.entry
	u.Members = append(u.Members, Member{Zone: e.Zone, Catalog: by.catalog.Name, Label: e.Label, Groups: e.Groups, Owner: e.Owner})
	u.refuse(claims, by, "the zone is in catalog "+string(by.catalog.Name))
}

// refuse notes conflicts with all claims but one.
func (u *updater) refuse(claims []claim, but *claim, reason string) {
	for i := range claims {
		if &claims[i] != but {
			u.Conflicts = append(u.Conflicts, Conflict{Zone: claims[i].entry.Zone, Catalog: claims[i].catalog.Name, Reason: reason})
		}
	}
}

func (u *updater) change(c Change) { u.Changes = append(u.Changes, c) }
