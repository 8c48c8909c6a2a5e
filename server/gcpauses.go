package server

import (
	"log/slog"
	"math"
	"runtime/metrics"
	"time"
)

// gcPauses is how the Go runtime has held up the process, by its own count.
type gcPauses struct {
	stopTheWorld [2]*metrics.Float64Histogram // of the whole process: for the collector, and otherwise
	schedLatency *metrics.Float64Histogram    // of goroutines that could run, for a turn to; one in eight is counted
}

// readGCPauses is all since the process began.
func readGCPauses() gcPauses {
	samples := []metrics.Sample{
		{Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/sched/pauses/total/other:seconds"},
		{Name: "/sched/latencies:seconds"},
	}
	metrics.Read(samples)
	return gcPauses{
		stopTheWorld: [2]*metrics.Float64Histogram{samples[0].Value.Float64Histogram(), samples[1].Value.Float64Histogram()},
		schedLatency: samples[2].Value.Float64Histogram(),
	}
}

// since is what p has that before, an earlier reading, had not.
func (p gcPauses) since(before gcPauses) gcPauses {
	for i, h := range before.stopTheWorld {
		subtract(p.stopTheWorld[i], h)
	}
	subtract(p.schedLatency, before.schedLatency)
	return p
}

func subtract(from, what *metrics.Float64Histogram) {
	for i, n := range what.Counts {
		from.Counts[i] -= n
	}
}

// LogValue is p for a log line. Times are the upper edges of the runtime's
// buckets, some 10 % apart.
func (p gcPauses) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("stops", count(p.stopTheWorld[0])+count(p.stopTheWorld[1])),
		slog.Duration("stopped_longest", max(quantile(p.stopTheWorld[0], 1), quantile(p.stopTheWorld[1], 1))),
		slog.Uint64("waits", count(p.schedLatency)),
		slog.Duration("waited_p999", quantile(p.schedLatency, 0.999)),
		slog.Duration("waited_longest", quantile(p.schedLatency, 1)),
	)
}

func count(h *metrics.Float64Histogram) (sum uint64) {
	for _, n := range h.Counts {
		sum += n
	}
	return sum
}

// quantile is the upper edge of the bucket that holds the quantile; 0 of nothing.
func quantile(h *metrics.Float64Histogram, q float64) time.Duration {
	rank, seen := uint64(math.Ceil(q*float64(count(h)))), uint64(0)
	for i, n := range h.Counts {
		if seen += n; n == 0 || seen < rank {
			continue
		}
		edge := h.Buckets[i+1]
		if math.IsInf(edge, 1) {
			edge = h.Buckets[i]
		}
		return time.Duration(edge * float64(time.Second))
	}
	return 0
}
