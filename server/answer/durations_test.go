package answer

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"meridian/server/answer/answertest"
)

// TestDurationsAreInTheRightBuckets checks that each duration is within the bounds of its classic and of its native bucket.
func TestDurationsAreInTheRightBuckets(t *testing.T) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 500 {
		took := time.Duration(math.Exp(rnd.Float64() * math.Log(30e9))) // 1 ns to 30 s
		n := 1 + rnd.IntN(5)
		var d durations
		d.observe(took, n)
		var sums Durations
		d.addTo(&sums)
		if sums.Count != uint64(n) || math.Abs(sums.Seconds-float64(n)*took.Seconds()) > 1e-9 {
			t.Fatalf("%d of %v: count %d, sum %v", n, took, sums.Count, sums.Seconds)
		}
		bounds := append(append([]float64{0}, DurationBounds()...), math.Inf(1))
		for i, count := range sums.Classic {
			if within := took.Seconds() > bounds[i] && took.Seconds() <= bounds[i+1]; within != (count == uint64(n)) {
				t.Errorf("%v: %d in the bucket from %v to %v", took, count, bounds[i], bounds[i+1])
			}
		}
		for i := range sums.Native {
			low, high := math.Exp2(float64(i-1)/bucketsPerDouble), math.Exp2(float64(i)/bucketsPerDouble)
			if s := took.Seconds(); s < low*(1-1e-9) || s > high*(1+1e-9) {
				t.Errorf("%v is in the native bucket from %v to %v", took, low, high)
			}
		}
	}
}

func TestDurationsOfRemovedRespondersAreKept(t *testing.T) {
	s := newEngine(answertest.Build(t, countedConfig, ""), nil)
	r := s.Responder()
	r.StartTiming()
	r.EndTiming(UDP, 3)
	s.responders.remove(r)
	if got := s.Durations()[UDP].Count; got != 3 {
		t.Errorf("%d are counted, want 3", got)
	}
}

func TestOneBatchInManyIsTimed(t *testing.T) {
	r := newEngine(answertest.Build(t, countedConfig, ""), nil).Responder()
	for range 3 * timedBatches {
		r.StartTiming()
		r.EndTiming(TCP, 2)
	}
	var sums Durations
	r.took[TCP].addTo(&sums)
	if sums.Count != 6 {
		t.Errorf("%d queries are timed, want 2 in each of 3 batches", sums.Count)
	}
}
