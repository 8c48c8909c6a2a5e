package health

import "time"

// response is how long a target takes to pass a probe.
type response struct {
	smoothed time.Duration // 0: it has passed none
	told     time.Duration // smoothed when it was last told
}

// after is r after one more passed probe: an exponential average with the gain
// of TCP's round trip times (RFC 6298, 2.3), 1/8.
func (r response) after(latency time.Duration) response {
	if r.smoothed == 0 {
		r.smoothed = latency
	} else {
		r.smoothed += (latency - r.smoothed) / 8
	}
	return r
}

// moved reports whether it strayed by more than a quarter, and a millisecond,
// since it was told: enough to choose another by.
func (r response) moved() bool {
	strayed := (r.smoothed - r.told).Abs()
	return strayed > r.told/4 && strayed > time.Millisecond
}
