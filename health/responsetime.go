package health

import "time"

// responseTime is the duration of a target's passed probes.
type responseTime struct {
	smoothed time.Duration // 0: none has passed
	reported time.Duration // smoothed at the last notification
}

// add returns r after one more passed probe: an exponential average with the gain of TCP's round-trip times (RFC 6298,
// 2.3), 1/8.
func (r responseTime) add(latency time.Duration) responseTime {
	if r.smoothed == 0 {
		r.smoothed = latency
	} else {
		r.smoothed += (latency - r.smoothed) / 8
	}
	return r
}

// changedEnough reports whether it differs by more than a quarter, and a millisecond, from the last notification: enough to
// affect a choice between endpoints.
func (r responseTime) changedEnough() bool {
	strayed := (r.smoothed - r.reported).Abs()
	return strayed > r.reported/4 && strayed > time.Millisecond
}
