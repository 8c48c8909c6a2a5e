package control

import (
	"slices"
	"time"

	"meridian/control/event/notify"
	"meridian/control/top"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/snapshot"
	"meridian/transfer/secondary"
)

// Status is the status of a running server, as JSON.
type Status struct {
	At        time.Time    `json:"at"`
	StartedAt time.Time    `json:"started_at"` // start of the process
	Config    string       `json:"config"`     // file name
	Listen    []string     `json:"listen"`
	State     StateStatus  `json:"state"`
	Reload    ReloadStatus `json:"reload"`

	Generation uint64    `json:"generation"`  // of the configuration, as in meridian config history; 0: it is not stored
	ConfigHash string    `json:"config_hash"` // of its files; empty: they cannot be read
	LoadedAt   time.Time `json:"loaded_at"`

	LastGood *LastGoodStatus `json:"last_good,omitempty"` // set if it is served in place of an invalid configuration

	Prober ProberStatus `json:"prober"`

	// BuildPanics counts the panics while a configuration or pools were built. The previous state
	// keeps serving.
	BuildPanics uint64 `json:"build_panics"`

	// Outages lists the pools without an eligible member; of the requested ones.
	Outages []Outage `json:"outages"`

	Notify []notify.Status `json:"notify,omitempty"` // the sinks of events

	DNSSEC []snapshot.ZoneKeys `json:"dnssec,omitempty"` // the signed zones

	Secondaries []secondary.Status `json:"secondaries,omitempty"` // the zones that come from primaries
	Catalogs    []NamedCatalog     `json:"catalogs,omitempty"`    // of other servers

	Cluster *ClusterSummary `json:"cluster,omitempty"` // set if the node is in a cluster
	Canary  *CanaryStatus   `json:"canary,omitempty"`  // set if another generation decides for a share of the clients

	Cookies *CookiesStatus `json:"cookies,omitempty"` // set if their secrets are in a file

	Encrypted *EncryptedStatus `json:"encrypted,omitempty"` // set if there are encrypted transports

	XDP []XDPStatus `json:"xdp,omitempty"` // the interfaces of server.xdp

	Overrides []Override `json:"overrides"`

	Floods       []top.Flood          `json:"floods,omitempty"`        // keys with far more queries than usual
	ErrorReports []answer.ErrorReport `json:"error_reports,omitempty"` // of resolvers, the latest last

	Quarantine []answer.QuarantinedPacket `json:"quarantine,omitempty"` // packets that are dropped because one caused a panic

	Filters []Filter     `json:"filters,omitempty"` // the rules of the filter, in their order
	Frozen  []FrozenZone `json:"frozen,omitempty"`  // zones of which updates are refused

	Maintenance []MaintenanceStatus `json:"maintenance,omitempty"` // the windows of the configuration

	Loads []LoadStatus `json:"loads"`

	Latency *LatencyStatus `json:"latency,omitempty"` // set if latency is measured

	Metrics *MetricsStatus `json:"metrics,omitempty"` // set once the metrics were scraped

	Regions []RegionStatus `json:"regions"` // regions with a check
	Pools   []PoolStatus   `json:"pools"`
}

// CookiesStatus is the status of the file of secrets of DNS cookies.
type CookiesStatus struct {
	File    string `json:"file"`
	Secrets int    `json:"secrets"`         // in use
	Error   string `json:"error,omitempty"` // why the file cannot be read again; the secrets in use stay
}

// cookiesStatus returns the status of the file of secrets; nil: there is none.
func (at *view) cookiesStatus() *CookiesStatus {
	c := at.Snapshot.Cookies
	if c == nil || c.File() == "" {
		return nil
	}
	return &CookiesStatus{c.File(), c.Secrets(), c.Failure()}
}

// XDPStatus is the status of an interface of server.xdp.
type XDPStatus struct {
	Interface string `json:"interface"`
	Attached  bool   `json:"attached"`            // its queries are answered through AF_XDP
	Mode      string `json:"mode,omitempty"`      // native or generic
	Queues    int    `json:"queues,omitempty"`    // receive queues
	ZeroCopy  bool   `json:"zero_copy,omitempty"` // the driver writes into the frames
	Error     string `json:"error,omitempty"`     // why it is not attached; sockets answer its queries

	Lost map[string]uint64 `json:"lost"` // packets, by reason: see the metric xdp_lost_total
}

// xdpStatus returns the status of the interfaces of server.xdp.
func (c *Control) xdpStatus() (all []XDPStatus) {
	for _, b := range c.server.Bypass() {
		s := XDPStatus{Interface: b.Interface, Attached: b.Attached, Error: b.Failure, Lost: map[string]uint64{
			"ring_full": b.Lost.Full, "no_frames": b.Lost.NoFrames, "unsent": b.Lost.Unsent,
			"invalid": b.Lost.Invalid, "malformed": b.Lost.Malformed, "checksum": b.Lost.BadChecksum,
		}}
		if b.Attached {
			s.Mode, s.Queues, s.ZeroCopy = b.Mode.String(), b.Queues, b.ZeroCopy
		}
		all = append(all, s)
	}
	return all
}

// Outage is a pool without an eligible member in any family.
type Outage struct {
	Pool      string               `json:"pool"`
	Mode      map[string]string    `json:"mode"`       // as in PoolStatus
	ModeSince map[string]time.Time `json:"mode_since"` // as in PoolStatus
}

// IsOutage reports whether no member of a pool is eligible in any family.
func (p *PoolStatus) IsOutage() bool {
	for _, n := range p.Eligible {
		if n > 0 {
			return false
		}
	}
	return len(p.Eligible) > 0
}

// outages lists the outages among pools.
func outages(of []PoolStatus) []Outage {
	all := []Outage{}
	for i := range of {
		if p := &of[i]; p.IsOutage() {
			all = append(all, Outage{p.Pool, p.Mode, p.ModeSince})
		}
	}
	return all
}

// ProberStatus is the status of the prober itself.
type ProberStatus struct {
	At      time.Time `json:"at"`      // last heartbeat: normally at most a second ago
	Stalled bool      `json:"stalled"` // no heartbeat for too long: health states are frozen
	Panics  uint64    `json:"panics"`  // recovered panics
	Targets int       `json:"targets"` // number of targets
	Probing int       `json:"probing"` // running probes
}

// Prober returns the status of the prober, even if that is stalled.
func (c *Control) Prober() ProberStatus {
	if c.currentView().Snapshot == nil { // the prober may not exist yet
		return ProberStatus{}
	}
	p := c.prober.Heartbeat()
	return ProberStatus{p.At, p.Stalled(time.Now()), p.Panics, p.Targets, p.Probing}
}

// PoolStatus is the status of a pool.
type PoolStatus struct {
	Pool      string            `json:"pool"`
	Policy    string            `json:"policy"`
	DualStack string            `json:"dual_stack"` // independent or together
	Mode      map[string]string `json:"mode"`       // by family: the source of its answers
	Live      map[string]bool   `json:"live"`       // by family: as seen by its parents
	Eligible  map[string]int    `json:"eligible"`   // by family: the number of eligible members
	Need      int               `json:"need"`       // eligible members required for the pool to be live
	Members   []MemberStatus    `json:"members"`    // the requested ones

	LostRegions []pools.LostRegion   `json:"lost_regions,omitempty"` // regions with clients spread over the others
	ModeSince   map[string]time.Time `json:"mode_since"`             // by family; since the process started at the earliest
	LiveSince   map[string]time.Time `json:"live_since"`             // by family: time of the last change of live; since the process started at the earliest
}

// Status returns the status of the members of a target; the zero Selector selects all.
func (c *Control) Status(t Selector) (*Status, error) {
	at := c.currentView()
	if t != (Selector{}) {
		if err := findTarget(t, at.Snapshot.Config); err != nil {
			return nil, err
		}
	}
	selected, regions := selectedPools(at.Snapshot.Pools, t), at.Snapshot.Pools.Regions()
	if !at.fetchProbes(targetIDs(selected, regions)) && c.currentView().Watch != at.Watch { // the watch was ended by a reload
		return c.Status(t)
	}
	s := c.processStatus(at)
	for i := range regions {
		s.Regions = append(s.Regions, at.regionStatus(&regions[i]))
	}
	ejections := at.ejections()
	for i := range selected {
		s.Pools = append(s.Pools, at.poolStatus(&selected[i], s.Regions, ejections))
	}
	s.Outages = outages(s.Pools)
	return s, nil
}

// processStatus returns the part of a status that is not about regions and pools.
func (c *Control) processStatus(at *view) *Status {
	s := &Status{
		At: time.Now(), StartedAt: c.startedAt, Config: at.Snapshot.Config.File,
		State: c.StateStatus(), Reload: at.reload, LastGood: c.LastGood(),
		Generation: c.GenerationNumber(), ConfigHash: at.Hash, LoadedAt: at.LoadedAt,
		BuildPanics: c.panics.Load(), Prober: c.Prober(), Notify: c.notifier.Status(),
		Overrides: c.measured(at.overrides, time.Now()), Loads: at.loadStatus(), Latency: at.latency, Metrics: c.metrics.Load(),
		Maintenance: at.maintenanceStatus(time.Now()), Regions: []RegionStatus{}, Pools: []PoolStatus{},

		DNSSEC: at.Snapshot.SignedZones(time.Now()), Secondaries: c.Copies(), Catalogs: c.Catalogs(), Cookies: at.cookiesStatus(), Cluster: c.clusterSummary(at), Filters: c.Filters(), Frozen: at.frozen, XDP: c.xdpStatus(), Encrypted: c.encryptedStatus(at), Quarantine: c.server.Quarantined(), Floods: c.Floods(),
	}
	s.ErrorReports, s.Canary = c.server.ErrorReports(), c.canaryStatus(at)
	for _, a := range c.server.Addrs() {
		s.Listen = append(s.Listen, a.String())
	}
	return s
}

// selectedPools returns the pools that have members of t, with only those members; the zero
// Selector selects all, including pools without members.
func selectedPools(tree *pools.Tree, t Selector) []pools.PoolStatus {
	all := t == Selector{}
	var selected []pools.PoolStatus
	for p := range tree.Status() {
		if !all {
			p.Members = slices.DeleteFunc(p.Members, func(m pools.MemberStatus) bool { return !covers(t, p.Pool, &m) })
		}
		if all || len(p.Members) > 0 {
			selected = append(selected, p)
		}
	}
	return selected
}

// poolStatus returns the status of a pool with its members.
func (at *view) poolStatus(p *pools.PoolStatus, regions []RegionStatus, ejections map[memberName]*pools.Ejection) PoolStatus {
	pool := poolStatus(p)
	for i := range p.Members {
		member := at.memberStatus(&p.Members[i], regions)
		if e := ejections[memberName{pool.Pool, member.Member}]; e != nil {
			member.describeEjection(e)
		}
		pool.Members = append(pool.Members, member)
	}
	return pool
}

// ejections returns the members that max_ejection applies to, by name.
func (at *view) ejections() map[memberName]*pools.Ejection {
	all := at.Snapshot.Pools.Ejections()
	found := make(map[memberName]*pools.Ejection, len(all))
	for i := range all {
		found[memberName{all[i].Pool, all[i].Member}] = &all[i]
	}
	return found
}

func poolStatus(p *pools.PoolStatus) PoolStatus {
	return PoolStatus{
		Pool: p.Pool, Policy: p.Policy, DualStack: p.DualStack, Need: p.Need, Members: []MemberStatus{}, LostRegions: p.Lost,
		Mode:     byFamily(func(f pools.Family) string { return p.Mode[f].String() }),
		Live:     byFamily(func(f pools.Family) bool { return p.Live[f] }),
		Eligible: byFamily(func(f pools.Family) int { return p.Eligible[f] }),

		ModeSince: byFamily(func(f pools.Family) time.Time { return p.ModeSince[f] }),
		LiveSince: byFamily(func(f pools.Family) time.Time { return p.LiveSince[f] }),
	}
}

func byFamily[T any](of func(pools.Family) T) map[string]T {
	return map[string]T{pools.IPv4.String(): of(pools.IPv4), pools.IPv6.String(): of(pools.IPv6)}
}

// LatencyStatus is the status of the latency table.
type LatencyStatus struct {
	File    string    `json:"file"`
	Rows    int       `json:"rows"`            // in use; 0 while the file is stale
	Written time.Time `json:"written"`         // modification time of the file in use
	Stale   bool      `json:"stale"`           // older than max_age: distance decides
	Refused int       `json:"refused"`         // rejected new files since the last reload
	Error   string    `json:"error,omitempty"` // the error of the current file; an older one is in use
}
