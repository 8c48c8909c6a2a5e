package health

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meridian/health/probe"
)

// TestQueueServesLongestDueFirst adds and removes at random, compared with a plain slice.
func TestQueueServesLongestDueFirst(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	start := time.Unix(0, 0)
	var q queue
	var plain []*targetState
	for step := range 5000 {
		if len(plain) == 0 || random.IntN(5) < 3 {
			e := &targetState{}
			q.add(e, start.Add(time.Duration(random.IntN(1000))))
			plain = append(plain, e)
		} else {
			i := random.IntN(len(plain))
			q.remove(plain[i])
			plain = slices.Delete(plain, i, i+1)
		}
		first := q.first()
		for _, e := range plain {
			if e.due.Before(first.due) {
				t.Fatalf("seed %d, step %d: first is due at %v, but one is at %v", seed, step, first.due, e.due)
			}
		}
		if (first == nil) != (len(plain) == 0) {
			t.Fatalf("seed %d, step %d: first is %v of %d", seed, step, first, len(plain))
		}
	}
}

func TestHistoryKeepsNewestResults(t *testing.T) {
	var h history
	for n := range 2*historySize + 3 {
		got := h.results()
		if len(got) != min(n, historySize) {
			t.Fatalf("%d results kept of %d", len(got), n)
		}
		for i, r := range got {
			if want := time.Duration(n - 1 - i); r.Latency != want {
				t.Fatalf("result %d of %d is number %d, want %d", i, n, r.Latency, want)
			}
		}
		h.add(probe.Result{Latency: time.Duration(n)})
	}
}
