package telemetry

import (
	"meridian/cluster"
	"meridian/cluster/inputs"
	"meridian/cluster/observation"
	"meridian/control"
)

// inputs sends the metrics of loads and targets that nodes give each other; nil: nothing is shared.
func (c *collection) inputs(n *control.InputCounts) {
	if n == nil {
		return
	}
	c.value("cluster_inputs_given", float64(n.Loads), string(inputs.LoadKind))
	c.value("cluster_inputs_given", float64(n.Targets), string(inputs.TargetKind))
	c.value("cluster_input_writes_total", float64(n.Writes))
	for _, reason := range inputs.Rejections() {
		c.value("cluster_inputs_rejected_total", float64(n.Rejected[reason]), string(reason))
	}
}

// records sends how many records of etcd were rejected.
func (c *collection) records(rejected map[control.RecordRejection]uint64) {
	for of, n := range rejected {
		c.value("cluster_records_rejected_total", float64(n), of.Kind, of.Reason)
	}
}

// cluster sends the metrics of the cluster of the node; nil: it is in none.
func (c *collection) cluster(s *cluster.Status) {
	if s == nil {
		return
	}
	c.value("cluster_vantages", float64(len(s.Vantages)))
	c.value("cluster_vantages_fresh", float64(s.Fresh()))
	c.value("cluster_etcd_connected", oneIf(s.Connected))
	for _, mode := range cluster.Modes() {
		c.value("cluster_mode", oneIf(s.Mode == mode), string(mode))
	}
	c.value("cluster_direct_requests_total", float64(s.Answered), "answered")
	c.value("cluster_direct_requests_total", float64(s.Failed), "failed")
	for reason, n := range s.Refused {
		c.value("cluster_direct_refused_total", float64(n), reason)
	}
	c.value("cluster_publications_total", float64(s.Published))
	c.value("cluster_disagreements_total", float64(s.Disagreements))
	for _, reason := range observation.Rejections() {
		c.value("cluster_blocks_rejected_total", float64(s.Rejected[reason]), string(reason))
	}
	for _, v := range s.Vantages {
		kind := "node"
		if v.Agent {
			kind = "agent"
		}
		c.value("cluster_vantage_fresh", oneIf(v.Fresh), v.Name, kind)
		if v.Name != s.Node && v.Region != "" { // it has sent a heartbeat
			c.value("cluster_clock_skew_seconds", v.Skew.Seconds(), v.Name)
		}
	}
}
