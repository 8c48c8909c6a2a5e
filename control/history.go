package control

import (
	"sync"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

// Stats are the counters of a running server, as JSON.
type Stats struct {
	At        time.Time         `json:"at"`
	StartedAt time.Time         `json:"started_at"`
	Queries   uint64            `json:"queries"`
	UDP       uint64            `json:"udp"`
	TCP       uint64            `json:"tcp"`
	Truncated uint64            `json:"truncated"`
	FailOpen  uint64            `json:"fail_open"`
	Dropped   uint64            `json:"dropped"`
	Panics    uint64            `json:"panics"`
	Rcodes    map[string]uint64 `json:"rcodes"`
	Samples   []Sample          `json:"samples"` // of the last hour, the oldest first
}

// Sample is the number of queries since the start, at a time, and how long the answers since the previous sample took.
type Sample struct {
	At      time.Time     `json:"at"`
	Queries uint64        `json:"queries"`
	P50     time.Duration `json:"p50,omitempty"` // the median; 0: no query was timed
	P99     time.Duration `json:"p99,omitempty"`
}

const (
	sampleInterval = 10 * time.Second
	maxSamples     = int(time.Hour/sampleInterval) + 1
)

// history holds the samples of the last hour. It is safe for concurrent use.
type history struct {
	mu      sync.Mutex
	samples []Sample
	timed   answer.Durations // until the last sample
}

// sample adds a sample if the last one is old enough.
func (h *history) sample(now time.Time, read func() (queries uint64, timed answer.Durations)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.samples)
	if n > 0 && now.Sub(h.samples[n-1].At) < sampleInterval-time.Second/2 {
		return
	}
	if n == maxSamples {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
	queries, timed := read()
	since := timed.Since(h.timed)
	h.timed = timed
	h.samples = append(h.samples, Sample{now, queries, since.Quantile(0.5), since.Quantile(0.99)})
}

// sampled returns what a sample needs.
func (c *Control) sampled() (queries uint64, timed answer.Durations) {
	for _, d := range c.server.Durations() {
		timed.Add(d)
	}
	return c.Counters().Queries, timed
}

func (h *history) list() []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Sample{}, h.samples...)
}

// Stats returns the counters and the samples of the last hour.
func (c *Control) Stats() Stats {
	n := c.Counters()
	s := Stats{
		At: time.Now(), StartedAt: c.startedAt, Queries: n.Queries, UDP: n.UDP, TCP: n.TCP, Truncated: n.Truncated,
		FailOpen: n.FailedOpen, Dropped: n.Dropped, Panics: n.Panics, Rcodes: map[string]uint64{}, Samples: c.history.list(),
	}
	for code, count := range n.Rcodes {
		if count > 0 {
			s.Rcodes[dns.RcodeToString[code]] += count
		}
	}
	return s
}
