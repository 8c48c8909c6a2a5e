package config

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// Detail is the finest thing that the metrics distinguish.
type Detail string

// The details, the coarsest first.
const (
	RegionDetail Detail = "region" // sums for each region
	PoolDetail   Detail = "pool"   // and series of each pool
	MemberDetail Detail = "member" // and series of each member and address
)

// details lists the words of metrics.detail, the coarsest first.
func details() []string {
	return []string{string(RegionDetail), string(PoolDetail), string(MemberDetail)}
}

// Coarser returns the next coarser detail; the coarsest one is its own.
func (t Detail) Coarser() Detail {
	all := details()
	return Detail(all[max(0, slices.Index(all, string(t))-1)])
}

// Metrics holds the settings of the metrics on the admin listener.
type Metrics struct {
	Detail    Detail
	MaxSeries int // with more series than this, the next coarser detail is exported
}

// The range of max_series. Even without zones and pools there are some hundred series: with less than those, the coarsest
// detail is exported.
const (
	leastSeries = 1
	mostSeries  = 10_000_000
)

func (d *decoder) metrics(to *Metrics) setter {
	return func(n *yaml.Node) {
		ok := d.mapping(n, []field{
			{name: "detail", set: func(n *yaml.Node) {
				if word, ok := d.oneOf(n, "detail", details()); ok {
					to.Detail = Detail(word)
				}
			}},
			{name: "max_series", set: d.integerInRange(&to.MaxSeries, leastSeries, mostSeries)},
		})
		if ok {
			d.metricsAt = nodeKeyOf(n)
		}
	}
}

// warnUnreadMetrics warns of metrics settings without a listener that serves metrics.
func (d *decoder) warnUnreadMetrics(cfg *Config) {
	if d.metricsAt != (nodeKey{}) && !cfg.Admin.Listen.IsValid() {
		d.warnAt(d.metricsAt, "metrics has no effect: there is no admin listener to read them from", "write admin: {listen: 127.0.0.1:8053}")
	}
}

// warnManySeries warns of a configuration with more series than max_series allows. The number is an estimate: it leaves out
// what is not known before the server runs.
func (d *decoder) warnManySeries(cfg *Config) {
	const perPool, perMember = 11, 2
	series := len(cfg.Zones) + perPool*len(cfg.Pools)
	if cfg.Metrics.Detail == MemberDetail {
		for i := range cfg.Pools {
			for j := range cfg.Pools[i].Members {
				series += perMember + len(cfg.Pools[i].Members[j].Addresses)
			}
		}
	}
	if !cfg.Admin.Listen.IsValid() || cfg.Metrics.Detail == RegionDetail || series <= cfg.Metrics.MaxSeries {
		return
	}
	at := d.metricsAt
	if at == (nodeKey{}) {
		at = nodeKeyOf(d.doc.Root)
	}
	d.warnAt(at, fmt.Sprintf("about %d series of metrics, more than max_series %d: detail %s is exported in place of %s",
		series, cfg.Metrics.MaxSeries, cfg.Metrics.Detail.Coarser(), cfg.Metrics.Detail), "raise metrics.max_series, or write the coarser detail")
}
