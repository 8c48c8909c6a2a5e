package limit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"
)

// window is the time in which a Sketch counts queries.
const window = 100 * time.Millisecond

// sketchSize is the number of counters of a Sketch: 16 KiB fit into the first cache.
const (
	sketchBits = 12
	sketchSize = 1 << sketchBits
)

// Sketch finds the sources that may be over their limit in the queries of one worker: it counts queries by a hash of
// their network, so that a source is never counted less than it asks. It is not for concurrent use.
type Sketch struct {
	secret uint64
	begun  time.Time // of the window
	counts [sketchSize]uint32
}

// NewSketch returns an empty Sketch.
func NewSketch() *Sketch {
	return &Sketch{secret: maphash.Comparable(maphash.MakeSeed(), 0) | 1}
}

// Count counts a query, and reports whether its source may be hot: then Advance is to be called, and Rates decides. It is
// small enough to be inlined, and reads no clock.
func (s *Sketch) Count(network uint64, r *Rates) bool {
	count := &s.counts[network*s.secret>>(64-sketchBits)]
	*count++
	return *count > r.hot
}

// Advance begins a new window at now if the current one has ended.
func (s *Sketch) Advance(now time.Time) {
	if now.Sub(s.begun) >= window {
		clear(s.counts[:])
		s.begun = now
	}
}

// networkIPv6 marks the number of an IPv6 network.
const networkIPv6 = 1 << 63

// Network returns the /24 or /48 network of a source as a number.
func Network(source netip.Addr) uint64 {
	if source.Is4() {
		a := source.As4()
		return uint64(a[0])<<16 | uint64(a[1])<<8 | uint64(a[2])
	}
	a := source.As16()
	high := uint64(a[0])<<40 | uint64(a[1])<<32 | uint64(a[2])<<24 | uint64(a[3])<<16 | uint64(a[4])<<8 | uint64(a[5])
	return high | networkIPv6
}

// prefixOf returns the network of a number that Network has returned; the zero value for 0.
func prefixOf(network uint64) netip.Prefix {
	switch {
	case network == 0:
		return netip.Prefix{}
	case network&networkIPv6 == 0:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(network >> 16), byte(network >> 8), byte(network)}), 24)
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], network<<16)
	return netip.PrefixFrom(netip.AddrFrom16(a), 48)
}
