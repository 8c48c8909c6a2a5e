package telemetry

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/config"
	"meridian/health"
	"meridian/health/probe"
)

// probeMetrics counts probes and health state changes.
type probeMetrics struct {
	probes    *prometheus.CounterVec
	changes   *prometheus.CounterVec
	durations *prometheus.HistogramVec
	last      prometheus.Gauge

	certificates health.Certificates
}

// nativeFactor is the growth of the native buckets of probe durations, and nativeLimit the most of them for a check.
const (
	nativeFactor = 1.1
	nativeLimit  = 100
)

func newProbeMetrics() *probeMetrics {
	vec := func(name string) *prometheus.CounterVec {
		f := families[name]
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: namespace + name, Help: f.help}, f.labels)
	}
	f := families["probe_duration_seconds"]
	return &probeMetrics{
		probes: vec("probes_total"), changes: vec("state_changes_total"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: namespace + "probe_duration_seconds", Help: f.help,
			Buckets:                     []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeLimit, NativeHistogramMinResetDuration: time.Hour,
		}, f.labels),
		last: prometheus.NewGauge(prometheus.GaugeOpts{Name: namespace + "last_probe_timestamp_seconds", Help: families["last_probe_timestamp_seconds"].help}),
	}
}

// Describe sends the descriptions of p.
func (p *probeMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(p, to) }

// Collect sends the metrics of p.
func (p *probeMetrics) Collect(to chan<- prometheus.Metric) {
	p.probes.Collect(to)
	p.changes.Collect(to)
	p.durations.Collect(to)
	p.last.Collect(to)
}

func (p *probeMetrics) observer() health.Observer {
	return health.Observer{
		Probed: func(check *config.Check, r probe.Result) {
			name := labelOf(check)
			p.probes.WithLabelValues(name, r.Outcome.String()).Inc()
			p.last.Set(seconds(r.At))
			if r.Outcome == probe.Passed {
				p.durations.WithLabelValues(name).Observe(r.Latency.Seconds())
			}
		},
		Changed: func(check *config.Check, to health.Verdict) {
			p.changes.WithLabelValues(labelOf(check), to.String()).Inc()
		},
		Certificates: &p.certificates,
	}
}

// labelOf returns the name of a check in the configuration, without a member's own settings.
func labelOf(check *config.Check) string { return cmp.Or(check.Base, check.Name) }
