package pools

import (
	"fmt"
	"math"
	"time"

	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// Latency is proximity with another table, which ranks regions by round trips
// (geo.LatencyTable): narrowToNearest, with its truth table, handles both.
//
//	client and region                         round trip that ranks it
//	a row of its network, ASN or country      the row's; the most specific one counts
//	a row of few samples                      mixed with the round trip expected by distance
//	none                                      the round trip expected by distance
//	round trips that hardly differ            the nearer region first

// ranks reports whether the pool's table ranks the regions of its members.
func (p *pool) ranks() bool { return p.policy == proximity || p.policy == latency }

// closer returns the word for a region that ranks before another.
func (v *frame) closer() string {
	if v.policy == latency {
		return "quicker"
	}
	return "nearer"
}

// Measure recompiles the same pools with other round trips: nil for none.
// Tables that rank by anything else are shared with t. Health states and overrides are handled as by Resolve.
func (t *Tree) Measure(roundTrips *geo.Latency) (*Tree, error) {
	next, err := compileWith(t.cfg, t.locator, t, roundTrips)
	if err != nil {
		return nil, err
	}
	return next.Resolve(t.resolved)
}

// RoundTrips returns the measured round trips that the pools use; nil for none.
func (t *Tree) RoundTrips() *geo.Latency { return t.roundTrips }

// StepRTT is the round trip between the client and a Step's region.
type StepRTT struct {
	Ms         float64  `json:"ms"`                    // the value that ranks it
	ExpectedMs float64  `json:"expected_ms"`           // by the distance alone
	MeasuredMs *float64 `json:"measured_ms,omitempty"` // nil: nothing is measured, Ms is ExpectedMs
	Samples    int      `json:"samples,omitempty"`     // of the measurement; 0: the table does not say
	By         string   `json:"by,omitempty"`          // the matching row, such as "network 198.51.100.0/24"
	Averaged   bool     `json:"averaged,omitempty"`    // the measurement is a moving average, see latency.alpha
}

func (r *StepRTT) String() string {
	if r.MeasuredMs == nil {
		return fmt.Sprintf("%.1f ms, expected by distance; nothing is measured", r.Ms)
	}
	how := "measured"
	if r.Averaged {
		how = "a moving average"
	}
	text := fmt.Sprintf("%.1f ms, %s for %s", r.Ms, how, r.By)
	if r.Ms != *r.MeasuredMs {
		text = fmt.Sprintf("%.1f ms, of %.1f ms %s for %s and %.1f ms expected by distance", r.Ms, *r.MeasuredMs, how, r.By, r.ExpectedMs)
	}
	switch r.Samples {
	case 0:
	case 1:
		text += ", 1 sample"
	default:
		text += fmt.Sprintf(", %d samples", r.Samples)
	}
	return text
}

// slowerThan explains why a region with round trip a comes after one with b.
func slowerThan(a, b *StepRTT) string {
	if a.Ms <= b.Ms {
		return "farther, and not much quicker"
	}
	return "slower"
}

// roundTrip returns the round trip of the client to a region; nil if the client does not matter.
func (r *recorder) roundTrip(s *Scratch, v *frame, region string) *StepRTT {
	if v.table == none {
		return nil
	}
	if r.estimates == nil {
		r.estimates = map[uint32][]geo.Estimate{}
	}
	regions := r.tree.measured[v.table]
	if r.estimates[v.table] == nil {
		r.estimates[v.table] = r.tree.locator.Estimates(s.client, r.tree.roundTrips, regions)
	}
	for _, e := range r.estimates[v.table] {
		if regions[e.Region].Name != region {
			continue
		}
		rtt := &StepRTT{Ms: inMs(e.RTT), ExpectedMs: inMs(e.Expected), Samples: e.Samples, By: e.By}
		if e.Measured > 0 {
			measured := inMs(e.Measured)
			rtt.MeasuredMs, rtt.Averaged = &measured, r.tree.cfg.Latency.Alpha > 0 && r.tree.cfg.Latency.Alpha < 100
		}
		return rtt
	}
	return nil
}

// inMs returns d in milliseconds, to a hundredth.
func inMs(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*100) / 100
}

// whyQuickest explains why latency chose m.
func (s *Scratch) whyQuickest(v *frame, from bitset.Set, m int) string {
	if v.table == none {
		return s.whyWeight(v, from, m)
	}
	step := &s.record.steps[v.step+m]
	if step.RTT == nil {
		return "no region has an eligible member; " + s.whyWeight(v, from, m)
	}
	text := fmt.Sprintf("%s: %s", v.whichRegion(), step.RTT) + v.nearer
	if from.Count() > 1 {
		text += "; " + s.whyWeight(v, from, m)
	}
	return text
}
