package answer

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestQuantiles compares quantiles with those of the sorted durations.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var counted durations
	var old Durations
	for round := range 20 {
		var all []time.Duration
		for range 1 + random.IntN(500) {
			took := time.Duration(random.ExpFloat64() * float64(50*time.Microsecond))
			counted.observe(took, 1)
			all = append(all, took)
		}
		var now Durations
		counted.addTo(&now)
		since := now.Since(old)
		old = now
		slices.Sort(all)
		for _, q := range []float64{0.5, 0.99, 1} {
			want := max(all[max(1, int(float64(len(all))*q+0.9999999))-1], 2)
			if got := since.Quantile(q); got < want-1 || float64(got) > 1.0906*float64(want) {
				t.Errorf("round %d, quantile %v: %v, want %v", round, q, got, want)
			}
		}
	}
	if got := new(Durations).Quantile(0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
}
