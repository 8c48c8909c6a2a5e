package dnssec

import (
	"sync"
	"testing"
)

// Goroutines that need the same signature at the same time make it once.
func TestSignatureIsMadeOnce(t *testing.T) {
	zone, _ := csk(t, "example.com.", Compact, ECDSAP256SHA256)
	s := NewSigner(1<<20, 4)
	set := setOf(t, parse(t, sets[0]))
	var all sync.WaitGroup
	begin := make(chan struct{})
	var mu sync.Mutex
	total := uint64(0)
	for range 8 {
		all.Go(func() {
			<-begin
			r := Request{Now: now, Make: true}
			if _, err := s.AppendRRSIGs(nil, zone, &set, set.Owner, set.TTL, &r); err != nil {
				t.Error(err)
			}
			mu.Lock()
			total += r.Made
			mu.Unlock()
		})
	}
	close(begin)
	all.Wait()
	stats := s.Stats()
	if stats.Made != 1 || total != 1 {
		t.Errorf("%d signatures made, %d counted by requests, want 1", stats.Made, total)
	}
	if n := stats.Durations.Buckets[len(SignBounds)]; n != 1 || stats.Durations.Seconds <= 0 {
		t.Errorf("%d durations, %v s", n, stats.Durations.Seconds)
	}
}

// A goroutine that comes while the signature is made gets the same one, or the same error.
func TestFlightSharesItsResult(t *testing.T) {
	var f flights
	inside, leave := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_, called, err := f.do(cacheKey{1, 2}, func() (signature, error) {
			close(inside)
			<-leave
			return signature{7}, ErrBusy
		})
		if !called || err != ErrBusy {
			t.Errorf("the first: called %v, %v", called, err)
		}
	})
	<-inside
	waiting := make(chan struct{})
	all.Go(func() {
		close(waiting)
		made, called, err := f.do(cacheKey{1, 2}, func() (signature, error) { return signature{8}, nil })
		if !called && (made != signature{7} || err != ErrBusy) {
			t.Errorf("the second shares %v, %v", made[0], err)
		}
	})
	<-waiting
	if made, called, err := f.do(cacheKey{1, 3}, func() (signature, error) { return signature{9}, nil }); !called || err != nil || made != (signature{9}) {
		t.Errorf("another key: called %v, %v", called, err)
	}
	close(leave)
	all.Wait()
	if len(f.making) != 0 {
		t.Errorf("%d flights remain", len(f.making))
	}
}
