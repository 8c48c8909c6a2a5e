package control

import (
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/snapshot"
	"meridian/transfer/secondary"
)

// Zone is a served zone, as JSON.
type Zone struct {
	Zone        dnsname.Name   `json:"zone"`
	Serial      uint32         `json:"serial"`   // of its SOA
	Names       int            `json:"names"`    // with records or a pool
	Records     int            `json:"records"`  // static ones
	Balanced    int            `json:"balanced"` // names bound to a pool
	Nameservers []dnsname.Name `json:"nameservers"`
	File        string         `json:"file,omitempty"` // its master file
	TTL         uint32         `json:"ttl"`            // of answers from pools, in seconds
	Bound       []BoundName    `json:"bound"`

	Catalog  dnsname.Name `json:"catalog,omitempty"`  // that lists the zone for other servers
	Produced bool         `json:"produced,omitempty"` // it is such a catalog

	Consumed *CatalogStatus    `json:"consumed,omitempty"` // it is a catalog of other servers
	Member   *MembershipStatus `json:"member,omitempty"`   // it is in such a catalog

	Frozen *FrozenZone `json:"frozen,omitempty"` // its updates are refused

	Secondary *secondary.Status `json:"secondary,omitempty"` // of a zone that comes from primaries
}

// BoundName is a name that a pool answers.
type BoundName struct {
	Name dnsname.Name `json:"name"`
	Pool string       `json:"pool"`
	Type string       `json:"type,omitempty"` // A or AAAA, if each has a pool of its own
	View string       `json:"view,omitempty"` // the pool answers its clients; empty: all others
}

// boundName returns a binding of a name for the clients of a view.
func boundName(b *config.BalancedName, view string) BoundName {
	bound := BoundName{Name: b.Name, Pool: b.Pool, View: view}
	switch {
	case b.OnlyAAAA:
		bound.Type = "AAAA"
	case b.AAAA != nil:
		bound.Type = "A"
	}
	return bound
}

// Region is a configured region, as JSON.
type Region struct {
	Region    string  `json:"region"`
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	Bias      int     `json:"bias,omitempty"`
}

// Zones returns the served zones, in the order of the configuration.
func (c *Control) Zones() []Zone {
	snapshot := c.currentView().Snapshot
	copies, catalogs := c.copyStatuses(time.Now()), c.catalogStatuses(snapshot)
	all := []Zone{}
	for i, sum := range snapshot.Zones.Summary() {
		of := &snapshot.Config.Zones[i]
		z := Zone{
			Zone: sum.Zone, Serial: sum.Serial, Names: sum.Names, Records: sum.Records, Balanced: sum.Balanced, File: of.File, TTL: of.TTL,
			Nameservers: []dnsname.Name{}, Bound: []BoundName{}, Catalog: of.Entry.Catalog, Produced: of.Produced, Consumed: catalogs[sum.Zone], Member: membershipOf(snapshot, i), Secondary: copies[sum.Zone], Frozen: c.FrozenZone(sum.Zone),
		}
		for _, n := range of.Nameservers {
			z.Nameservers = append(z.Nameservers, n.Name)
		}
		for b, view := range of.Bindings() {
			z.Bound = append(z.Bound, boundName(b, view))
		}
		all = append(all, z)
	}
	return all
}

// Keys returns the keys of the signed zones, in the order of the configuration.
func (c *Control) Keys() []snapshot.ZoneKeys {
	return c.currentView().Snapshot.SignedZones(time.Now())
}

// Regions returns the configured regions, in the order of the configuration.
func (c *Control) Regions() []Region {
	all := []Region{}
	for _, r := range c.currentView().Snapshot.Config.Regions {
		all = append(all, Region{r.Name, r.Location.Lat, r.Location.Lon, r.Bias})
	}
	return all
}
