package config

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// Latency holds the source of measured round trips and the settings for their use.
type Latency struct {
	File      string // path of the table; empty: no measurements
	FilePos   Pos
	Reload    time.Duration // interval of looking for a changed file
	Samples   int           // a row with fewer samples is mixed with an estimate from the distance
	Tolerance time.Duration // regions with a difference up to this are ordered by distance
	Alpha     int           // weight of a new table against the previous one in per cent
	MaxAge    time.Duration // an older file is ignored; 0: no limit
}

// The ranges of the latency settings.
const (
	minLatencyReload = time.Second
	maxSamples       = 1_000_000
	maxTolerance     = 10 * time.Second
	minMaxAge        = time.Minute
	maxMaxAge        = 366 * 24 * time.Hour
)

func (d *decoder) latency(l *Latency) setter {
	return func(n *yaml.Node) {
		ok := d.mapping(n, []field{
			{name: "file", set: d.path(&l.File, &l.FilePos)},
			{name: "reload", set: d.duration(&l.Reload, minLatencyReload, maxSpan)},
			{name: "samples", set: d.integerInRange(&l.Samples, 1, maxSamples)},
			{name: "tolerance", set: d.duration(&l.Tolerance, 0, maxTolerance)},
			{name: "alpha", set: d.percentage(&l.Alpha, 1, 100)},
			{name: "max_age", set: d.duration(&l.MaxAge, minMaxAge, maxMaxAge)},
		})
		if ok {
			d.required(n, "file", "name the table of round trips, such as latency.csv")
		}
	}
}

// unmeasured warns of pools that use round trips if there is no table.
func (d *decoder) unmeasured(cfg *Config) {
	if cfg.Latency.File != "" {
		return
	}
	for i := range cfg.Pools {
		if p := &cfg.Pools[i]; p.Policy == LatencyPolicy {
			d.warnAt(keyAt(p.Pos), fmt.Sprintf("pool %s uses latency, but there is no table of round trips: it orders regions by distance", quote(p.Name)), "name a table of round trips under latency")
		}
	}
}
