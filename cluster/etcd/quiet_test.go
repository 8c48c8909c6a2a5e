package etcd

import (
	"testing"
	"time"
)

// An error that lasts for an hour is logged at once, and a few times.
func TestLastingErrorIsLoggedAtGrowingPauses(t *testing.T) {
	var q quietLog
	start := time.Now()
	var logged []int
	for second := range 3600 {
		if due, times := q.due(start.Add(time.Duration(second) * time.Second)); due {
			logged = append(logged, second)
			if times != second+1 {
				t.Errorf("after %d s: %d times", second, times)
			}
		}
	}
	want := []int{0, 10, 30, 70, 150, 310, 630, 1230, 1830, 2430, 3030}
	if len(logged) != len(want) {
		t.Fatalf("logged after %v s, want %v", logged, want)
	}
	for i, second := range want {
		if logged[i] != second {
			t.Errorf("logged after %v s, want %v", logged, want)
		}
	}
}
