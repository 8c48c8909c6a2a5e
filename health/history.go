package health

import "time"

// Result is what one probe found.
type Result struct {
	Outcome Outcome
	Reason  string        // a sentence with the evidence, e.g. `connect: connection refused`
	Latency time.Duration // from the start of the probe to its outcome
	At      time.Time     // when the probe began
	Expires time.Time     // when the peer's certificate ends, or another of its chain; zero: none was seen
}

// historySize is how many results are kept for each target.
const historySize = 10

// history keeps the last results of a target in a ring.
type history struct {
	ring  [historySize]Result
	added int // results since the start
}

func (h *history) add(r Result) {
	h.ring[h.added%historySize] = r
	h.added++
}

// results is a copy of what is kept, newest first.
func (h *history) results() []Result {
	kept := min(h.added, historySize)
	out := make([]Result, kept)
	for i := range out {
		out[i] = h.ring[(h.added-1-i)%historySize]
	}
	return out
}
