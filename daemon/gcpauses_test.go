package daemon

import (
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestQuantilesAreUpperEdges(t *testing.T) {
	h := &metrics.Float64Histogram{
		Counts:  []uint64{0, 998, 1, 0, 1, 0},
		Buckets: []float64{math.Inf(-1), 0, 0.001, 0.002, 0.003, 0.004, math.Inf(1)},
	}
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: time.Millisecond, 0.998: time.Millisecond, 0.999: 2 * time.Millisecond, 1: 4 * time.Millisecond} {
		if got := quantile(h, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	last := &metrics.Float64Histogram{Counts: []uint64{0, 1}, Buckets: []float64{0, 1, math.Inf(1)}}
	if got := quantile(last, 1); got != time.Second {
		t.Errorf("what is beyond all edges is %v, want the last edge", got)
	}
	if got := quantile(&metrics.Float64Histogram{Counts: []uint64{0}, Buckets: []float64{0, 1}}, 1); got != 0 {
		t.Errorf("the quantile of nothing is %v", got)
	}
}

func TestPausesAreSinceFirstReading(t *testing.T) {
	first := readGCPauses()
	runtime.GC()
	one := readGCPauses().since(first)
	if stops := count(one.stopTheWorld[0]); stops == 0 || stops > count(readGCPauses().stopTheWorld[0]) {
		t.Errorf("%d stops of a collection", stops)
	}
	for _, attr := range one.LogValue().Group() {
		if attr.Key == "stopped_longest" && attr.Value.Duration() <= 0 {
			t.Errorf("the longest stop took %v", attr.Value)
		}
	}
	second := readGCPauses()
	if again := second.since(second); count(again.stopTheWorld[0])+count(again.stopTheWorld[1])+count(again.schedLatency) != 0 {
		t.Errorf("between a reading and itself: %v", again.LogValue())
	}
}
