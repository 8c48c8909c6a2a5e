// Package telemetry shows what a running server does: metrics in the formats of Prometheus and OpenMetrics, and a log of
// queries with their answers and decisions.
//
// The packet path knows nothing of it. Each worker counts in its own memory; [Metrics] reads the sums when it is scraped,
// from [control.Control]. Only probes and health state changes are counted as they happen, by [Metrics.Observer].
//
// families.go lists every metric; docs/reference/metrics.md is held equal to it.
package telemetry

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meridian/config"
	"meridian/control"
	"meridian/health"
)

// Options are the dependencies of Metrics.
type Options struct {
	Logger  *slog.Logger // nil: no logging
	Version string       // of this binary
}

// Metrics collects the metrics of one process. It is safe for concurrent use.
type Metrics struct {
	log      *slog.Logger
	registry *prometheus.Registry
	probes   *probeMetrics
	queryLog *QueryLog

	mu       sync.Mutex // guards the fields below
	control  *control.Control
	reported config.Detail // the detail that was last logged as too fine; empty: none
}

// New returns Metrics without a server; see Handler.
func New(o Options) *Metrics {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{log: o.Logger, registry: prometheus.NewRegistry(), probes: newProbeMetrics(), queryLog: &QueryLog{log: o.Logger, version: o.Version}}
	m.registry.MustRegister(
		m, m.probes, buildInfo(o.Version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// buildInfo returns the metric with the version of this binary.
func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: namespace + "build_info", Help: families["build_info"].help, ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	return info
}

// Observer returns the observer of the prober that m counts the probes of.
func (m *Metrics) Observer() health.Observer { return m.probes.observer() }

// QueryLog returns the query log; m counts its losses.
func (m *Metrics) QueryLog() *QueryLog { return m.queryLog }

// Handler returns the handler of /metrics for the server of control.
func (m *Metrics) Handler(control *control.Control) http.Handler { return paced(m.exporter(control)) }

func (m *Metrics) exporter(control *control.Control) http.Handler {
	m.mu.Lock()
	m.control = control
	m.mu.Unlock()
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
}

// measured returns the current measurement of the server.
func (m *Metrics) measured() (control.Measurement, bool) {
	m.mu.Lock()
	of := m.control
	m.mu.Unlock()
	if of == nil {
		return control.Measurement{}, false
	}
	return of.Measure()
}

// Describe sends nothing: which series there are depends on the configuration.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends all metrics of the server.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	measured, ok := m.measured()
	if !ok {
		return
	}
	s := newSeries(&measured, m.probes.certificates.All())
	detail := m.detail(s)
	c := collection{to: to}
	c.server(&measured)
	c.signing(&measured)
	c.configuration(&measured)
	c.notifications(&measured)
	c.cluster(measured.Cluster)
	c.inputs(measured.Inputs)
	c.records(measured.Rejected)
	c.value("querylog_dropped_total", float64(measured.Unlogged+m.queryLog.Lost()))
	c.value("metrics_detail", 1, string(detail))
	s.send(&c, detail)
}

// detail returns the finest detail, up to the configured one, with at most max_series series. It logs when that is not the
// configured one.
func (m *Metrics) detail(s *series) config.Detail {
	settings := s.measured.Config.Metrics
	detail, series := settings.Detail, s.count(settings.Detail)
	for detail != detail.Coarser() && s.count(detail) > settings.MaxSeries {
		detail = detail.Coarser()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.control.RecordMetrics(control.MetricsStatus{Detail: detail, Configured: settings.Detail, Series: series, MaxSeries: settings.MaxSeries})
	switch {
	case detail == settings.Detail:
		m.reported = ""
	case detail != m.reported:
		m.reported = detail
		m.log.Warn("metrics have less detail than configured: max_series is reached", "detail", detail, "configured", settings.Detail,
			"series", series, "max_series", settings.MaxSeries)
	}
	return detail
}
