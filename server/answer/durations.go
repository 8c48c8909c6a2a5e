package answer

import (
	"math"
	"sync/atomic"
	"time"
)

// A duration is counted in two ways, which Prometheus calls native and classic: in buckets with bounds that grow by the
// factor 2^(1/8), and in a few buckets with round bounds.
const (
	bucketsPerDouble = 8
	// The first and the last native bucket end at about 1 ns and at 64 s.
	firstBucket = -30 * bucketsPerDouble
	lastBucket  = 6 * bucketsPerDouble
	// NativeSchema is the schema of the native buckets: 2^NativeSchema for each doubling.
	NativeSchema = 3
)

// DurationBounds returns the upper bounds of the classic buckets in seconds, the last one without +Inf.
func DurationBounds() []float64 { return []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1} }

const classicBuckets = 8 // with that of +Inf

// durations counts durations in the memory of one goroutine; any other may read it.
type durations struct {
	nanoseconds atomic.Uint64
	classic     [classicBuckets]atomic.Uint64
	native      [lastBucket - firstBucket + 1]atomic.Uint64
}

// observe counts n equal durations.
func (d *durations) observe(took time.Duration, n int) {
	count, seconds := uint64(n), max(took.Seconds(), 1e-9)
	d.nanoseconds.Store(d.nanoseconds.Load() + count*uint64(took))
	bounds := [...]float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}
	i := 0
	for i < len(bounds) && seconds > bounds[i] {
		i++
	}
	d.classic[i].Store(d.classic[i].Load() + count)
	native := &d.native[min(max(int(math.Ceil(math.Log2(seconds)*bucketsPerDouble)), firstBucket), lastBucket)-firstBucket]
	native.Store(native.Load() + count)
}

// Durations holds how long sampled queries took.
type Durations struct {
	Count   uint64
	Seconds float64        // their sum
	Classic []uint64       // by DurationBounds, each without the lower ones; the last one is above all bounds
	Native  map[int]uint64 // by the index of the native bucket, which ends at 2^(index/8) seconds
}

// addTo adds the counts to t.
func (d *durations) addTo(t *Durations) {
	if t.Native == nil {
		t.Classic, t.Native = make([]uint64, classicBuckets), map[int]uint64{}
	}
	t.Seconds += float64(d.nanoseconds.Load()) / 1e9
	for i := range d.classic {
		n := d.classic[i].Load()
		t.Classic[i] += n
		t.Count += n
	}
	for i := range d.native {
		if n := d.native[i].Load(); n > 0 {
			t.Native[firstBucket+i] += n
		}
	}
}

// Add adds the native counts of other to d.
func (d *Durations) Add(other Durations) {
	if d.Native == nil {
		d.Native = map[int]uint64{}
	}
	d.Count += other.Count
	for i, n := range other.Native {
		d.Native[i] += n
	}
}

// Since returns the native counts of d that were added after earlier.
func (d Durations) Since(earlier Durations) Durations {
	since := Durations{Count: d.Count - earlier.Count, Native: map[int]uint64{}}
	for i, n := range d.Native {
		if more := n - earlier.Native[i]; more > 0 {
			since.Native[i] = more
		}
	}
	return since
}

// Quantile returns a duration that a share q of the durations does not exceed, up to 9 % too long: the end of its native
// bucket. It returns 0 if there are none.
func (d Durations) Quantile(q float64) time.Duration {
	rank, sum := max(1, uint64(math.Ceil(q*float64(d.Count)))), uint64(0)
	for i := firstBucket; i <= lastBucket; i++ {
		if sum += d.Native[i]; sum >= rank {
			return time.Duration(1e9 * math.Exp2(float64(i)/bucketsPerDouble))
		}
	}
	return 0
}

// merge adds the counts of other to d.
func (d *durations) merge(other *durations) {
	d.nanoseconds.Add(other.nanoseconds.Load())
	for i := range d.classic {
		d.classic[i].Add(other.classic[i].Load())
	}
	for i := range d.native {
		d.native[i].Add(other.native[i].Load())
	}
}

// timedBatches is how many batches there are for each one that is timed.
const timedBatches = 64

// StartTiming begins the timing of a batch, if this one is timed.
func (r *Responder) StartTiming() {
	if r.batches%timedBatches == 0 {
		r.timedFrom = time.Now()
	}
	r.batches++
}

// EndTiming ends the timing of a batch of n queries: each waited until the whole batch was answered.
func (r *Responder) EndTiming(t Transport, n int) {
	if !r.timedFrom.IsZero() {
		r.took[t].observe(time.Since(r.timedFrom), n)
		r.timedFrom = time.Time{}
	}
}

// durations returns the sums of all responders, removed ones included.
func (c *responderPool) durations() (sums [TransportCount]Durations) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range sums {
		c.removedTook[t].addTo(&sums[t])
		for _, r := range c.all {
			r.took[t].addTo(&sums[t])
		}
	}
	return sums
}
