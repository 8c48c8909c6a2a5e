package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// bucket is a slow, obvious token bucket of one network.
type bucket struct {
	tokens float64
	at     time.Duration
}

// buckets is a model of Rates.
type buckets struct {
	rate Rate
	of   map[netip.Prefix]*bucket
}

func (m *buckets) allow(source netip.Addr, at time.Duration) (allowed, close bool) {
	levels := levelsIPv6
	if source.Is4() {
		levels = levelsIPv4
	}
	allowed = true
	burst := float64(m.rate.Instant) / float64(m.rate.PerSecond)
	for _, l := range levels {
		network, _ := source.Prefix(l.bits)
		perSecond := float64(m.rate.PerSecond * l.times)
		b := m.of[network]
		if b == nil {
			b = &bucket{tokens: burst * perSecond, at: at}
			m.of[network] = b
		}
		b.tokens = min(burst*perSecond, b.tokens+(at-b.at).Seconds()*perSecond)
		b.at = at
		if b.tokens < 0 {
			allowed = false
		}
		close = close || b.tokens > -0.01 && b.tokens < 0.01
	}
	if allowed {
		for _, l := range levels {
			network, _ := source.Prefix(l.bits)
			m.of[network].tokens--
		}
	}
	return allowed, close
}

// TestRatesAreTokenBuckets compares the decisions about random sources with those of token buckets. The model may
// decide otherwise when a bucket is just empty.
func TestRatesAreTokenBuckets(t *testing.T) {
	for _, rate := range []Rate{{PerSecond: 10, Instant: 25}, {PerSecond: 50, Instant: 50}, {PerSecond: 1000, Instant: 100}} {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("rate=%d seed=%d", rate.PerSecond, seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			r, model := NewRates(rate), &buckets{rate: rate, of: map[netip.Prefix]*bucket{}}
			at, results := time.Duration(0), [2]int{}
			for range 30_000 {
				at += time.Duration(random.Int64N(int64(2 * time.Second / time.Duration(rate.PerSecond*100))))
				if random.IntN(5000) == 0 {
					at += time.Duration(random.Int64N(int64(time.Minute)))
				}
				source := netip.AddrFrom4([4]byte{192, 0, byte(random.IntN(2)), byte(random.IntN(2))})
				if random.IntN(3) == 0 {
					source = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", random.IntN(2), random.IntN(2)))
				}
				want, close := model.allow(source, at)
				got := r.Allow(source, r.began.Add(at))
				if got != want {
					if close { // both are right; from here on they differ
						r, model = NewRates(rate), &buckets{rate: rate, of: map[netip.Prefix]*bucket{}}
						at = 0
						continue
					}
					t.Fatalf("%s at %v: allowed %v, want %v", source, at, got, want)
				}
				if got {
					results[1]++
				} else {
					results[0]++
				}
			}
			if results[0] < 1000 || results[1] < 1000 {
				t.Errorf("allowed %d, refused %d: this compares little", results[1], results[0])
			}
		})
	}
}

// TestWideNetworksHaveLimits spreads queries over addresses that are each within their limit.
func TestWideNetworksHaveLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		source func(i int) netip.Addr
		want   int
	}{
		{"/24", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }, 10*32 + 1},
		{"/20", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i % 16), byte(i / 16)}) }, 10*256 + 1},
		{"/18", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i % 64), byte(i / 64)}) }, 10*768 + 1},
		{"/64", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)})
		}, 10*2 + 1},
		{"/56", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(i), 15: byte(i >> 8)})
		}, 10*3 + 1},
		{"/48", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i), 15: byte(i >> 8)})
		}, 10*4 + 1},
	} {
		r, allowed := NewRates(Rate{PerSecond: 10, Instant: 10}), 0
		for i := range 20_000 {
			if r.Allow(c.source(i), r.began) {
				allowed++
			}
		}
		if allowed != c.want {
			t.Errorf("%s: %d answers at once, want %d", c.name, allowed, c.want)
		}
	}
}

// TestRatesOutliveTheirClock checks entries that are older than the times that they can hold.
func TestRatesOutliveTheirClock(t *testing.T) {
	r, source := NewRates(Rate{PerSecond: 10, Instant: 10}), netip.MustParseAddr("192.0.2.1")
	wrap := time.Duration(1) << (timeBits + unitShift)
	for _, after := range []time.Duration{0, wrap / 4, wrap / 2, wrap * 3 / 4, wrap - time.Hour, wrap + time.Hour, 3 * wrap / 2} {
		allowed := 0
		for range 100 {
			if r.Allow(source, r.began.Add(after)) {
				allowed++
			}
		}
		if allowed != 11 {
			t.Errorf("after %v: %d answers at once, want 11", after, allowed)
		}
	}
}

// TestSketchNeverMissesHotSource checks that a source that asks more than its part of the rate in a window is found, also
// by the query that begins the next window, and that one that asks less is not found if it is alone.
func TestSketchNeverMissesHotSource(t *testing.T) {
	r, s := NewRates(Rate{PerSecond: 1000, Instant: 1, Workers: 1}), NewSketch()
	now := time.Now()
	ask := func(source string, times int) (hot int) {
		for range times {
			if s.Count(Network(netip.MustParseAddr(source)), r) {
				s.Advance(now)
				hot++
			}
		}
		return hot
	}
	s.Advance(now) // begins the window
	if hot := ask("192.0.2.1", 22); hot != 0 {
		t.Errorf("%d of 22 queries are hot", hot)
	}
	if hot := ask("192.0.2.200", 10); hot != 10 {
		t.Errorf("%d of 10 more queries of the network are hot", hot)
	}
	if hot := ask("2001:db8::1", 32); hot != 10 && hot != 32 { // 32: it shares the counter
		t.Errorf("%d of 32 queries are hot", hot)
	}
	now = now.Add(window)
	if hot := ask("192.0.2.1", 23); hot != 1 {
		t.Errorf("%d of 23 queries that begin the next window are hot, want the first one", hot)
	}
}

func TestSketchCountsAllAtLowRates(t *testing.T) {
	for _, c := range []struct {
		rate, workers int
		hot           uint32
	}{{1, 1, 0}, {43, 1, 0}, {44, 1, 1}, {20, 8, 0}, {351, 8, 0}, {1000, 0, 22}, {1000, 8, 2}, {100_000, 4, 568}} {
		if hot := (Rate{PerSecond: c.rate, Workers: c.workers}).hot(); hot != c.hot {
			t.Errorf("rate %d, %d workers: %d queries of a window are not counted, want %d", c.rate, c.workers, hot, c.hot)
		}
	}
}

func BenchmarkSketch(b *testing.B) {
	r, s, source := NewRates(Rate{PerSecond: 100_000, Instant: 1}), NewSketch(), netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		s.Count(Network(source), r)
	}
}

func BenchmarkRates(b *testing.B) {
	r, now := NewRates(Rate{PerSecond: 1000, Instant: 2500}), time.Now()
	for name, spread := range map[string]uint32{"limited": 1, "spread": 4_000_000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i++ {
				n := i % spread * 2654435761
				r.Allow(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), now)
			}
		})
	}
}
