package config

import (
	"fmt"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// IdleProbing makes the interval of an address Factor times as long while no query has asked for a pool that uses the
// address for the time After. The first query restores the interval.
type IdleProbing struct {
	After  time.Duration // 0: off
	Factor int
}

// The ranges of idle.
const (
	minIdleFactor = 2
	maxIdleFactor = 1000
)

// idleProbing reads the mapping, on or off.
func (d *decoder) idleProbing(p *IdleProbing) setter {
	return func(n *yaml.Node) {
		if readWord(d, n, p, d.defaults.idle, "idle", "{after: 10m, factor: 10}") {
			return
		}
		*p = d.defaults.idle
		d.mapping(n, []field{
			{name: "after", set: d.duration(&p.After, time.Second, maxSpan)},
			{name: "factor", set: d.integerInRange(&p.Factor, minIdleFactor, maxIdleFactor)},
		})
	}
}

// idleTimes requires that the interval of idle addresses is in the range of intervals.
func (d *decoder) idleTimes(n *yaml.Node, c *Check) {
	interval := c.IdleInterval()
	if interval <= maxInterval {
		return
	}
	d.errorf(yamldoc.Child(n, "idle"), fmt.Sprintf("%d times the interval %s is %s", c.Idle.Factor, FormatDuration(c.Interval), FormatDuration(interval)),
		"at most "+FormatDuration(maxInterval)+"; write a smaller factor")
}

// IdleInterval returns the interval between the probes of an address that is idle; 0: idle is off.
func (c *Check) IdleInterval() time.Duration { return c.Interval * time.Duration(c.Idle.Factor) }
