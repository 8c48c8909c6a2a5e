package dnssec

import (
	"sync"
	"testing"
	"testing/synctest"
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

// A signature that another goroutine has put into the cache after a miss is not made again.
func TestSignatureMadeAfterAMissIsUsed(t *testing.T) {
	zone, _ := csk(t, "example.com.", Compact, ECDSAP256SHA256)
	s := NewSigner(1<<20, 4)
	set := setOf(t, parse(t, sets[0]))
	key, at, r := &zone.keys.Load().signing(set.Type)[0], zone.timing.slotAt(set.Owner, set.Type, now), &Request{Now: now, Make: true}
	rdata := appendRRSIG(nil, zone.name, &set, key, at)
	id := s.cacheKey(rdata, &set, key, r)
	first, err := s.makeOnce(id, rdata, &set, key, at, r)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.makeOnce(id, rdata, &set, key, at, r)
	if err != nil || second != first || r.Made != 1 || s.Stats().Made != 1 {
		t.Errorf("%v; %d signatures made, %d counted by the request, want 1", err, s.Stats().Made, r.Made)
	}
}

// A goroutine that comes while the signature is made gets the same one, or the same error.
func TestFlightSharesItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		leave := make(chan struct{})
		go func() {
			_, called, err := f.do(cacheKey{1, 2}, func() (signature, error) {
				<-leave
				return signature{7}, ErrBusy
			})
			if !called || err != ErrBusy {
				t.Errorf("the first: called %v, %v", called, err)
			}
		}()
		synctest.Wait() // it is inside
		go func() {
			made, called, err := f.do(cacheKey{1, 2}, func() (signature, error) { return signature{8}, nil })
			if called || made != (signature{7}) || err != ErrBusy {
				t.Errorf("the second: called %v, %v, %v", called, made[0], err)
			}
		}()
		synctest.Wait() // it waits for the first
		if made, called, err := f.do(cacheKey{1, 3}, func() (signature, error) { return signature{9}, nil }); !called || err != nil || made != (signature{9}) {
			t.Errorf("another key: called %v, %v", called, err)
		}
		close(leave)
		synctest.Wait()
		if len(f.making) != 0 {
			t.Errorf("%d flights remain", len(f.making))
		}
	})
}
