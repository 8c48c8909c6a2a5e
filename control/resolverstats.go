package control

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/control/resolvers"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/snapshot"
)

// collectInterval is the interval at which observations are collected; a worker keeps a limited number.
const collectInterval = 50 * time.Millisecond

// resolverStats holds the statistics of resolvers, if the configuration has them.
type resolverStats struct {
	table atomic.Pointer[resolvers.Table] // nil: off
}

// use applies the settings of a configuration.
func (r *resolverStats) use(settings *config.ResolverStats, now time.Time) {
	table := r.table.Load()
	switch {
	case !settings.Enabled():
		r.table.Store(nil)
	case table == nil:
		r.table.Store(resolvers.New(settings.Max, now))
	default:
		table.SetMax(settings.Max)
	}
}

// CollectObservations adds the answers that have been observed to the statistics of resolvers. It returns when it is due
// again.
func (c *Control) CollectObservations() (next time.Duration) {
	table := c.resolvers.table.Load()
	if table == nil {
		c.server.DrainObservations(func(*answer.Observation) {}) // those from before it was off hold their snapshot
		return time.Second
	}
	defer c.RecoverPanic("statistics of resolvers")
	now := time.Now()
	c.server.DrainObservations(func(o *answer.Observation) { table.Observe(o, now) })
	return collectInterval
}

// followRemovals makes the statistics of resolvers follow the overrides that remove members from the answers.
func (c *Control) followRemovals(at *view, now time.Time) {
	table := c.resolvers.table.Load()
	if table == nil {
		return
	}
	c.CollectObservations() // what was answered before the change
	var all []resolvers.Removal
	for i := range at.overrides {
		if o := &at.overrides[i]; o.removes() && !o.IsScheduled() {
			all = append(all, resolvers.Removal{ID: removalID(o), Since: o.Since, Members: func() map[pools.MemberNames]bool { return selectedMembers(at.Snapshot.Pools, o.Target) }})
		}
	}
	table.SetRemovals(all, now)
}

// removalID identifies the removal of an override.
func removalID(o *Override) string { return o.Owner + " " + o.Kind + " " + o.Target.String() }

// selectedMembers returns the names of the members of a target.
func selectedMembers(tree *pools.Tree, t Selector) map[pools.MemberNames]bool {
	all := map[pools.MemberNames]bool{}
	for p := range tree.Status() {
		for i := range p.Members {
			if m := &p.Members[i]; covers(t, p.Pool, m) {
				all[pools.MemberNames{Pool: p.Pool, Member: m.Member, Region: m.Region}] = true
			}
		}
	}
	return all
}

// ClientsGone is how many clients have left the members of an override that removes them from the answers, as inferred
// from the queries of resolvers. Its parts are percentages of the queries that had led to these members.
type ClientsGone struct {
	Gone    float64   `json:"gone_percent"`        // the sum of the next two
	Asked   float64   `json:"asked_again_percent"` // their resolvers have a new answer
	Expired float64   `json:"expired_percent"`     // their resolvers have not, and the old answer has expired
	Holding float64   `json:"holding_percent"`     // their resolvers may still have the old answer
	Until   time.Time `json:"until,omitzero"`      // when the last of these expires
	Answers int       `json:"answers"`             // the cached answers when it began; 0: no observed resolver had one
}

// clientsGone returns the progress of an override; nil: it is not measured.
func (c *Control) clientsGone(o *Override, now time.Time) *ClientsGone {
	table := c.resolvers.table.Load()
	if table == nil || o.IsScheduled() || !o.removes() {
		return nil
	}
	p, ok := table.Progress(removalID(o), now)
	if !ok {
		return nil
	}
	gone := &ClientsGone{Asked: 100 * p.Asked, Expired: 100 * p.Expired, Holding: 100 * p.Holding, Until: p.Until, Answers: p.Answers}
	gone.Gone = gone.Asked + gone.Expired
	return gone
}

// MeasuredOverrides lists the active overrides as Overrides does, with how many clients have left.
func (c *Control) MeasuredOverrides() []Override {
	return c.measured(c.currentView().overrides, time.Now())
}

// measured returns a copy of overrides with how many clients have left.
func (c *Control) measured(all overrides, now time.Time) []Override {
	measured := append([]Override{}, all...)
	for i := range measured {
		measured[i].Clients = c.clientsGone(&measured[i], now)
	}
	return measured
}

// ResolverReport is the statistics of resolvers, as JSON.
type ResolverReport struct {
	At         time.Time        `json:"at"`
	Since      time.Time        `json:"since"`
	Sample     float64          `json:"sample"`     // part of the resolvers that is observed
	Known      int              `json:"known"`      // resolvers
	Evicted    uint64           `json:"evicted"`    // resolvers that were forgotten, because there are more than max
	Unobserved uint64           `json:"unobserved"` // answers that there was no room for
	Resolvers  []ResolverStatus `json:"resolvers"`  // the requested ones, the one with the most queries first
}

// ResolverStatus is the statistics of a resolver.
type ResolverStatus struct {
	Address    netip.Addr        `json:"address"`
	Country    string            `json:"country,omitempty"`
	Region     string            `json:"region,omitempty"` // the nearest
	First      time.Time         `json:"first"`            // query
	Last       time.Time         `json:"last"`
	Queries    uint64            `json:"queries"`
	QPS        float64           `json:"queries_per_second"` // since the first one
	WithSubnet uint64            `json:"client_subnet_queries"`
	Clients    []ResolverClients `json:"clients,omitempty"` // by the client subnets of its queries, the most frequent first
	Misplaced  bool              `json:"misplaced"`         // most of its clients are nearest to another region
	Elsewhere  float64           `json:"elsewhere_percent"` // queries for such clients, of those with a client subnet
	TTL        float64           `json:"ttl_seconds"`       // of its last answer
	Gaps       int               `json:"gaps"`              // between equal queries
	TypicalGap float64           `json:"typical_gap_seconds,omitempty"`
	ShortGap   float64           `json:"short_gap_seconds,omitempty"` // a tenth of the gaps is shorter
	Caching    resolvers.Caching `json:"caching,omitempty"`
}

// ResolverClients are clients of a resolver.
type ResolverClients struct {
	Network netip.Prefix `json:"network"`
	Country string       `json:"country,omitempty"`
	Region  string       `json:"region,omitempty"` // the nearest
	Queries uint64       `json:"queries"`
}

// enoughSubnets is the number of queries with a client subnet from which on they say where the clients of a resolver are.
const enoughSubnets = 10

// Resolvers returns the statistics of at most limit resolvers, or of those that look misplaced only.
func (c *Control) Resolvers(limit int, misplaced bool) (*ResolverReport, error) {
	table := c.resolvers.table.Load()
	if table == nil {
		return nil, &RequestError{What: "resolvers are not observed", Hint: "write resolver_stats: on in the configuration"}
	}
	at := c.hold()
	defer at.Release()
	found := table.Statistics()
	r := &ResolverReport{
		At: time.Now(), Since: found.Since, Sample: at.Snapshot.Config.ResolverStats.Sample, Known: len(found.Resolvers), Evicted: found.Evicted,
		Unobserved: c.server.Counters().Unobserved, Resolvers: []ResolverStatus{},
	}
	slices.SortStableFunc(found.Resolvers, func(x, y resolvers.Resolver) int { return cmp.Compare(y.Queries, x.Queries) })
	for i := range found.Resolvers {
		if len(r.Resolvers) == limit {
			break
		}
		if s := resolverStatus(at.Snapshot, &found.Resolvers[i]); s.Misplaced || !misplaced {
			r.Resolvers = append(r.Resolvers, s)
		}
	}
	return r, nil
}

// resolverStatus locates a resolver and its clients.
func resolverStatus(s *snapshot.Snapshot, r *resolvers.Resolver) ResolverStatus {
	status := ResolverStatus{
		Address: r.Address, First: r.First, Last: r.Last, Queries: r.Queries, WithSubnet: r.WithSubnet,
		QPS: float64(r.Queries) / max(1, r.Last.Sub(r.First).Seconds()), TTL: r.TTL.Seconds(),
		Gaps: r.Gaps, TypicalGap: r.TypicalGap.Seconds(), ShortGap: r.ShortGap.Seconds(), Caching: r.Caching,
	}
	status.Country, status.Region = nearestRegion(s, r.Address)
	all, elsewhere := uint64(0), uint64(0)
	for _, of := range r.Clients {
		clients := ResolverClients{Network: of.Network, Queries: of.Queries}
		clients.Country, clients.Region = nearestRegion(s, of.Network.Addr())
		status.Clients = append(status.Clients, clients)
		all += of.Queries
		if clients.Region != status.Region {
			elsewhere += of.Queries
		}
	}
	slices.SortStableFunc(status.Clients, func(x, y ResolverClients) int { return cmp.Compare(y.Queries, x.Queries) })
	if all > 0 {
		status.Elsewhere = 100 * float64(elsewhere) / float64(all)
	}
	status.Misplaced = all >= enoughSubnets && 2*elsewhere > all
	return status
}

// nearestRegion returns the country of an address, and the region nearest to it; empty: unknown.
func nearestRegion(s *snapshot.Snapshot, addr netip.Addr) (country, region string) {
	country = s.Geo.Locate(addr).Country
	if all := s.Geo.Estimates(addr, nil, s.Config.Regions); len(all) > 0 {
		region = s.Config.Regions[all[0].Region].Name
	}
	return country, region
}
