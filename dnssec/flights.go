package dnssec

import (
	"sync"
	"sync/atomic"
	"time"
)

// flights holds the signatures that are being made, so that several goroutines that need one make it once. It is safe
// for concurrent use.
type flights struct {
	mu     sync.Mutex
	making map[cacheKey]*flight
}

// flight is a signature that is being made. made and err may be read when done is closed.
type flight struct {
	done chan struct{}
	made signature
	err  error
}

// do returns the result of sign, or that of a call with the same key that runs at the same time. It reports whether
// sign was called.
func (f *flights) do(id cacheKey, sign func() (signature, error)) (made signature, called bool, err error) {
	f.mu.Lock()
	if other, ok := f.making[id]; ok {
		f.mu.Unlock()
		<-other.done
		return other.made, false, other.err
	}
	own := &flight{done: make(chan struct{})}
	if f.making == nil {
		f.making = make(map[cacheKey]*flight)
	}
	f.making[id] = own
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.making, id)
		f.mu.Unlock()
		close(own.done)
	}()
	own.err = ErrBusy // if sign panics
	own.made, own.err = sign()
	return own.made, true, own.err
}

// SignBounds are the upper bounds of the buckets of Stats.Durations, the last one without that of +Inf.
var SignBounds = [...]time.Duration{25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}

// signTimes counts how long signatures took.
type signTimes struct {
	nanoseconds atomic.Uint64
	buckets     [len(SignBounds) + 1]atomic.Uint64
}

func (t *signTimes) observe(took time.Duration) {
	t.nanoseconds.Add(uint64(took))
	i := 0
	for i < len(SignBounds) && took > SignBounds[i] {
		i++
	}
	t.buckets[i].Add(1)
}

// SignDurations is how long signatures took, from when they were wanted until they were made.
type SignDurations struct {
	Seconds float64                     // their sum
	Buckets [len(SignBounds) + 1]uint64 // by SignBounds, each with the lower ones; the last one is their number
}

func (t *signTimes) durations() (d SignDurations) {
	d.Seconds = float64(t.nanoseconds.Load()) / 1e9
	sum := uint64(0)
	for i := range t.buckets {
		sum += t.buckets[i].Load()
		d.Buckets[i] = sum
	}
	return d
}
