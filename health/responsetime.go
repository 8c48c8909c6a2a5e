package health

import "time"

// responseTime is how long a target takes to pass a probe.
type responseTime struct {
	smoothed time.Duration // 0: it has passed none
	reported time.Duration // smoothed when it was last told
}

// add is r after one more passed probe: an exponential average with the gain
// of TCP's round trip times (RFC 6298, 2.3), 1/8.
func (r responseTime) add(latency time.Duration) responseTime {
	if r.smoothed == 0 {
		r.smoothed = latency
	} else {
		r.smoothed += (latency - r.smoothed) / 8
	}
	return r
}

// changedEnough reports whether it strayed by more than a quarter, and a millisecond,
// since it was told: enough to choose another by.
func (r responseTime) changedEnough() bool {
	strayed := (r.smoothed - r.reported).Abs()
	return strayed > r.reported/4 && strayed > time.Millisecond
}
