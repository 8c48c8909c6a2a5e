package config

import (
	"fmt"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// FlapDamping keeps an address down that changes state too often: the change that makes Turns of them within Window
// keeps it down for Hold, and each further time twice as long, up to Max, until a whole Window has passed without a
// change. It is off unless configured: a rolling deploy followed by a rollback changes the state of every member four
// times within minutes, and damping would then keep healthy members down.
type FlapDamping struct {
	Turns  int // 0: off
	Window time.Duration
	Hold   time.Duration
	Max    time.Duration
}

// Failback defines how a recovered address becomes up again.
type Failback string

// The values of Failback.
const (
	AutoFailback   Failback = "auto"   // by passing probes
	ManualFailback Failback = "manual" // by an operator, after its probes pass
)

// The ranges of the thresholds: the results that change a state, and the delays that prevent a change.
const (
	maxConsecutive = 1000
	maxSpan        = 24 * time.Hour
	minTurns       = 2
	maxTurns       = 100
	minDamping     = time.Second
)

func (d *decoder) thresholdKeys(c *Check) []field {
	return []field{
		{name: "rise", set: d.integerInRange(&c.Rise, 1, maxConsecutive)},
		{name: "fall", set: d.integerInRange(&c.Fall, 1, maxConsecutive)},
		{name: "confirm", set: d.duration(&c.Confirm, 0, maxInterval)},
		{name: "flap_damping", set: d.flapDamping(&c.FlapDamping)},
		{name: "hold_down", set: d.duration(&c.HoldDown, 0, maxSpan)},
		{name: "failback", set: setValue(&c.Failback, d.failback)},
		{name: "slow_start", set: d.duration(&c.SlowStart, 0, maxSpan)},
		{name: "quorum", set: d.quorum(&c.Quorum)},
	}
}

func (d *decoder) failback(n *yaml.Node) (Failback, bool) {
	s, ok := d.oneOf(n, "failback", []string{string(AutoFailback), string(ManualFailback)})
	return Failback(s), ok
}

// flapDamping reads the mapping, on or off.
func (d *decoder) flapDamping(f *FlapDamping) setter {
	return func(n *yaml.Node) {
		if readWord(d, n, f, d.defaults.damping, "flap damping", "{turns: 4, window: 10m, hold: 1m, max: 15m}") {
			return
		}
		*f = d.defaults.damping
		if !d.mapping(n, []field{
			{name: "turns", set: d.integerInRange(&f.Turns, minTurns, maxTurns)},
			{name: "window", set: d.duration(&f.Window, minDamping, maxSpan)},
			{name: "hold", set: d.duration(&f.Hold, minDamping, maxSpan)},
			{name: "max", set: d.duration(&f.Max, minDamping, maxSpan)},
		}) || f.Max >= f.Hold {
			return
		}
		if most := yamldoc.Child(n, "max"); most != nil {
			d.errorf(most, fmt.Sprintf("max %s is shorter than the first hold, %s", FormatDuration(f.Max), FormatDuration(f.Hold)), "at least hold")
			return
		}
		d.warn(yamldoc.Child(n, "hold"), fmt.Sprintf("hold %s is longer than max, which is %s unless it is written, and is as long as hold then: no hold doubles", FormatDuration(f.Hold), FormatDuration(f.Max)), "write max")
		f.Max = f.Hold
	}
}

// confirmTime requires that the repeated probe is before the next regular one.
func (d *decoder) confirmTime(n *yaml.Node, c *Check) {
	if confirm := yamldoc.Child(n, "confirm"); confirm != nil && c.Confirm > c.Interval {
		d.errorf(confirm, fmt.Sprintf("confirm %s is longer than the interval, %s", FormatDuration(c.Confirm), FormatDuration(c.Interval)), "at most the interval")
	}
}
