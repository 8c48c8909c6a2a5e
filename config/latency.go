package config

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// Latency says where measured round trips are, and what is made of them.
type Latency struct {
	File      string // path of the table; empty: nothing is measured
	FilePos   Pos
	Reload    time.Duration // how often the file is looked at for a change
	Samples   int           // a row of fewer is mixed with what the distance lets expect
	Tolerance time.Duration // of regions that differ by no more the nearer one comes first
	Alpha     int           // per cent that a new table counts beside the one before it
	MaxAge    time.Duration // a file that is older counts as measured nothing; 0: no age is too old
}

// The ranges of what is made of round trips.
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
			{name: "samples", set: d.whole(&l.Samples, 1, maxSamples)},
			{name: "tolerance", set: d.duration(&l.Tolerance, 0, maxTolerance)},
			{name: "alpha", set: d.percentage(&l.Alpha, 1, 100)},
			{name: "max_age", set: d.duration(&l.MaxAge, minMaxAge, maxMaxAge)},
		})
		if ok {
			d.required(n, "file", "name the table of round trips, such as latency.csv")
		}
	}
}

// unmeasured warns of pools that go by round trips where there are none.
func (d *decoder) unmeasured(cfg *Config) {
	if cfg.Latency.File != "" {
		return
	}
	for i := range cfg.Pools {
		if p := &cfg.Pools[i]; p.Policy == LatencyPolicy {
			d.warnAt(keyAt(p.Pos), fmt.Sprintf("pool %s goes by latency and nothing is measured: it steers by distance", quote(p.Name)), "name a table of round trips under latency")
		}
	}
}
