package telemetry

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meridian/cluster"
	"meridian/cluster/observation"
	"meridian/control"
)

// collected is a collector of the metrics of a cluster.
type collected struct{ status *cluster.Status }

func (c collected) Describe(chan<- *prometheus.Desc) {}

func (c collected) Collect(to chan<- prometheus.Metric) {
	of := collection{to: to}
	of.cluster(c.status)
	if c.status != nil {
		of.records(map[control.RecordRejection]uint64{{Kind: "overrides", Reason: "version"}: 8})
	}
}

func TestClusterMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collected{}, collected{&cluster.Status{
		Node: "ams1", Connected: true, Published: 7, Disagreements: 2, Rejected: map[observation.Rejection]uint64{observation.Replay: 3},
		Mode: cluster.ViaStore, Answered: 5, Failed: 4, Refused: map[string]uint64{"untrusted": 6},
		Vantages: []cluster.VantageStatus{
			{Name: "ams1", Region: "eu", Fresh: true},
			{Name: "iad1", Region: "us", Fresh: true, Skew: -1500 * time.Millisecond},
			{Name: "sin1"},
			{Name: "probe1", Region: "us", Agent: true, Fresh: true},
		},
	}})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		"meridian_cluster_vantages 4", "meridian_cluster_vantages_fresh 3", "meridian_cluster_etcd_connected 1", "meridian_cluster_publications_total 7",
		"meridian_cluster_disagreements_total 2", `meridian_cluster_blocks_rejected_total{reason="replay"} 3`,
		`meridian_cluster_blocks_rejected_total{reason="signature"} 0`, `meridian_cluster_clock_skew_seconds{node="iad1"} -1.5`,
		`meridian_cluster_vantage_fresh{kind="node",node="iad1"} 1`, `meridian_cluster_vantage_fresh{kind="node",node="sin1"} 0`,
		`meridian_cluster_mode{mode="etcd"} 1`, `meridian_cluster_mode{mode="direct"} 0`, `meridian_cluster_mode{mode="alone"} 0`,
		`meridian_cluster_direct_requests_total{result="answered"} 5`, `meridian_cluster_direct_requests_total{result="failed"} 4`,
		`meridian_cluster_direct_refused_total{reason="untrusted"} 6`,
		`meridian_cluster_vantage_fresh{kind="agent",node="probe1"} 1`,
		`meridian_cluster_records_rejected_total{kind="overrides",reason="version"} 8`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "clock_skew_seconds{"); n != 2 {
		t.Errorf("%d clocks, want those of the others that were seen", n)
	}
}
