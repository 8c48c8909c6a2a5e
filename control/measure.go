package control

import (
	"time"

	"meridian/cluster"
	"meridian/config"
	"meridian/control/event/notify"
	"meridian/control/top"
	"meridian/dnssec"
	"meridian/geo"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/server/limit"
	"meridian/snapshot"
	"meridian/transfer/secondary"
)

// Measurement holds the values that a running server exports as metrics.
type Measurement struct {
	answer.Counters
	Answers     answer.AnswerTotals
	Durations   [answer.TransportCount]answer.Durations
	Reloads     uint64  // those that succeeded
	Refusals    uint64  // reloads that were refused
	Refused     bool    // the last reload was refused, or the last good configuration serves
	Generation  uint64  // of the configuration; 0: it is not stored
	CanaryRatio float64 // of the clients, that another generation answers; 0: none
	ConfigSkew  int     // nodes of the cluster with another configuration; -1: this node is in none
	ConfigHash  string  // of its files; empty: they cannot be read
	LoadedAt    time.Time
	Overrides   map[string]int // by kind
	Config      *config.Config
	Tree        *pools.Tree
	GeoBuilt    map[string]time.Time
	GeoTables   geo.Tables
	BuildPanics uint64
	Notify      []notify.Status
	Latency     *LatencyStatus // nil: no latency is measured
	Keys        []snapshot.ZoneKeys
	Copies      []secondary.Status
	Catalogs    []NamedCatalog
	Signing     dnssec.Stats
	Filters     []limit.FilterStatus
	Floods      map[top.Kind]FloodCounts
	XDP         []XDPStatus
	Reports     map[answer.ReportCount]uint64 // of errors, by resolvers
	Cluster     *cluster.Status               // nil: this node decides alone
	Inputs      *InputCounts                  // the same
	Rejected    map[RecordRejection]uint64    // records in etcd

	Certificates []CertificateStatus // of the encrypted transports
}

// Measure returns the current measurement. ok is false before a configuration serves.
func (c *Control) Measure() (m Measurement, ok bool) {
	at := c.currentView()
	if at.Snapshot == nil {
		return m, false
	}
	server := c.server
	m = Measurement{
		Counters: server.Counters(), Answers: server.AnswerTotals(), Durations: server.Durations(),
		Reloads: c.reloads.succeeded.Load(), Refusals: c.reloads.refused.Load(),
		Refused: at.reload.Refused || c.LastGood() != nil, Generation: c.GenerationNumber(),
		Overrides: map[string]int{}, Config: at.Snapshot.Config, Tree: at.Snapshot.Pools, GeoBuilt: at.Snapshot.Geo.Built(), GeoTables: at.Snapshot.Geo.TablesMade(),
		BuildPanics: c.panics.Load(), Notify: c.notifier.Status(), LoadedAt: at.LoadedAt, ConfigHash: at.Hash, Latency: at.latency,
	}
	m.Reports, m.Rejected = server.ErrorReportCounts(), c.recordRejections()
	m.Floods = c.floodCounts()
	m.Filters, m.XDP = server.Filters(), c.xdpStatus()
	if k := c.server.Canary(); k != nil {
		m.CanaryRatio = k.Percent() / 100
	}
	m.ConfigSkew = -1
	if nodes, ok := c.ConfigSkew(); ok {
		m.ConfigSkew = nodes
	}
	m.Keys = at.Snapshot.SignedZones(time.Now())
	m.Copies, m.Catalogs = c.Copies(), c.Catalogs()
	if e := c.encryptedStatus(at); e != nil {
		m.Certificates = e.Certificates
	}
	if signer := server.Signer(); signer != nil {
		m.Signing = signer.Stats()
	}
	if at.cluster != nil {
		status := at.cluster.Status()
		m.Cluster = &status
		m.Inputs = c.inputCounts(at)
	}
	for _, o := range at.overrides {
		if !o.IsScheduled() {
			m.Overrides[o.Kind]++
		}
	}
	return m, true
}

// MetricsStatus is the detail of the metrics that were last scraped.
type MetricsStatus struct {
	Detail     config.Detail `json:"detail"`     // that is exported
	Configured config.Detail `json:"configured"` // finer than Detail if there would be more series than MaxSeries
	Series     int           `json:"series"`     // with the configured detail
	MaxSeries  int           `json:"max_series"`
}

// RecordMetrics publishes the detail of the metrics.
func (c *Control) RecordMetrics(s MetricsStatus) { c.metrics.Store(&s) }

// DrainQueryLog passes the logged queries that have been collected to emit. Between two calls, each worker keeps a limited
// number.
func (c *Control) DrainQueryLog(emit func(*answer.LoggedQuery)) {
	c.server.DrainQueryLog(emit)
}
