package daemon

import (
	"log/slog"
	"math"
	"runtime/metrics"
	"time"
)

// gcPauses holds how long the Go runtime has stopped or delayed goroutines, by its own counters.
type gcPauses struct {
	stopTheWorld [2]*metrics.Float64Histogram // of the whole process: for the collector, and for other reasons
	schedLatency *metrics.Float64Histogram    // of runnable goroutines until they run; one in eight is counted
}

// readGCPauses returns the totals since the process started.
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

// since returns the difference from before, an earlier reading.
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

// LogValue formats p for a log line. Times are upper edges of the runtime's buckets, about 10 %
// apart.
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

// quantile returns the upper edge of the bucket that contains the quantile; 0 if h is empty.
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
