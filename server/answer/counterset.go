package answer

import "sync/atomic"

// counterSet counts in the memory of one goroutine, which publishes the counts after each batch. Only that goroutine
// adds and publishes; any other may read published.
type counterSet struct {
	local     []uint32 // since the last publish
	touched   []uint32 // the indices of local that are not 0
	published []atomic.Uint64
}

// maxTouched bounds the list of touched counters; when it is full, the counts are published early.
const maxTouched = 1024

func newCounterSet(size int) counterSet {
	return counterSet{
		local: make([]uint32, size), published: make([]atomic.Uint64, size),
		touched: make([]uint32, 0, min(size, maxTouched)),
	}
}

// add counts one event. It is small enough to be inlined.
func (s *counterSet) add(i uint32) {
	s.local[i]++
	if s.local[i] == 1 {
		s.touch(i)
	}
}

// addN counts n events.
func (s *counterSet) addN(i, n uint32) {
	if n == 0 {
		return
	}
	s.local[i] += n
	if s.local[i] == n {
		s.touch(i)
	}
}

// touch notes a counter that is to be published.
func (s *counterSet) touch(i uint32) {
	s.touched = append(s.touched, i)
	if len(s.touched) == cap(s.touched) {
		s.publish()
	}
}

// publish moves the local counts into published. There is one writer, so a store is enough.
func (s *counterSet) publish() {
	for _, i := range s.touched {
		p := &s.published[i]
		p.Store(p.Load() + uint64(s.local[i]))
		s.local[i] = 0
	}
	s.touched = s.touched[:0]
}

// addTo adds the published counts to sums.
func (s *counterSet) addTo(sums []uint64) {
	for i := range s.published {
		sums[i] += s.published[i].Load()
	}
}
