package limit

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"
)

// Rate is a limit on the answers to one client network.
type Rate struct {
	PerSecond int // answers to the longest prefix
	Instant   int // answers to it at once
	Workers   int // goroutines that share the limit, each with a Sketch
}

// hot returns the number of queries of a network that a Sketch leaves uncounted in a window: all workers together leave at
// most a quarter of the rate uncounted in a second. It is 0 for a low rate, so that all queries are counted.
func (r Rate) hot() uint32 {
	const windows = int(time.Second/window) + 1 // that a second can overlap
	return uint32(r.PerSecond / 4 / windows / max(1, r.Workers))
}

// level is a prefix length with its limit, as a multiple of the limit of the longest prefix.
type level struct{ bits, times int }

// The networks that have a limit each: forged sources spread over many addresses.
var (
	levelsIPv4 = [...]level{{32, 1}, {24, 32}, {20, 256}, {18, 768}}
	levelsIPv6 = [...]level{{128, 1}, {64, 2}, {56, 3}, {48, 4}}
)

const levelCount = len(levelsIPv4)

const (
	// unitShift makes the unit of times: 4 ns.
	unitShift = 2
	timeBits  = 48
	timeMask  = 1<<timeBits - 1
	// A set has the size of a cache line. A network is in one set, and replaces the one that has been idle longest.
	setSize = 8
	sets    = 1 << 16
)

// Rates limits the rate of answers to each client network. For a network it keeps the time at which all answers so far
// are paid for, at the interval of the rate: an answer is due while that time is less than the burst ahead (the generic
// cell rate algorithm, a token bucket). It is safe for concurrent use; concurrent answers to one network may exceed its
// limit by the number of goroutines.
type Rates struct {
	seed      [2]uint64 // secret: no client can choose the set of its network
	began     time.Time
	intervals [2][levelCount]uint64 // by family, in units
	burst     uint64                // in units
	most      uint64                // no time is further ahead, in units: an entry that is has wrapped, and is long past
	hot       uint32                // queries in a window of a Sketch beyond which a source is hot
	sets      []set
	limited   atomic.Uint64 // the Network of the last source over its limit; 0: none
}

// set holds networks with equal low bits of their hash: other bits of it above timeBits, and their time below.
type set [setSize]atomic.Uint64

// NewRates returns Rates for a limit.
func NewRates(rate Rate) *Rates {
	r := &Rates{seed: [2]uint64{rand.Uint64(), rand.Uint64()}, began: time.Now(), sets: make([]set, sets)}
	second := uint64(time.Second >> unitShift)
	for i := range levelCount {
		r.intervals[0][i] = max(1, second/uint64(rate.PerSecond*levelsIPv4[i].times))
		r.intervals[1][i] = max(1, second/uint64(rate.PerSecond*levelsIPv6[i].times))
	}
	r.burst = second * uint64(rate.Instant) / uint64(rate.PerSecond)
	r.most = 2*r.burst + r.intervals[0][0]
	r.hot = rate.hot()
	return r
}

// Allow reports whether an answer to source is within the limits of all its networks, and then counts it.
func (r *Rates) Allow(source netip.Addr, now time.Time) bool {
	levels, intervals := &levelsIPv6, &r.intervals[1]
	if source.Is4() {
		levels, intervals = &levelsIPv4, &r.intervals[0]
	}
	at := uint64(now.Sub(r.began)>>unitShift) & timeMask
	address := wordsOf(source)
	var places [levelCount]place
	for i, l := range levels {
		places[i] = r.find(r.hash(address, l.bits), at)
		if places[i].ahead > r.burst {
			r.noteLimited(Network(source))
			return false
		}
	}
	for i := range places {
		places[i].pay(at, intervals[i])
	}
	return true
}

// Over reports whether an answer to source would be over the limit of one of its networks. It counts nothing.
func (r *Rates) Over(source netip.Addr, now time.Time) bool {
	levels := &levelsIPv6
	if source.Is4() {
		levels = &levelsIPv4
	}
	at := uint64(now.Sub(r.began)>>unitShift) & timeMask
	address := wordsOf(source)
	for _, l := range levels {
		if r.find(r.hash(address, l.bits), at).ahead > r.burst {
			return true
		}
	}
	return false
}

// noteLimited keeps a network for Limited. It writes only another one: all workers read it.
func (r *Rates) noteLimited(network uint64) {
	if r.limited.Load() != network {
		r.limited.Store(network)
	}
}

// Limited returns the network of the last source over its limit, a /24 or a /48; the zero value: none.
func (r *Rates) Limited() netip.Prefix { return prefixOf(r.limited.Load()) }

// place is where a network is in the table, or will be.
type place struct {
	entry  *atomic.Uint64
	before uint64 // the content of entry, which may be of another network
	tag    uint64
	ahead  uint64 // how far the time of the network is ahead of now; 0 for a new one
}

// wordsOf returns an address as two words. No prefix length is one of both families, so that networks differ.
func wordsOf(a netip.Addr) [2]uint64 {
	if a.Is4() {
		v4 := a.As4()
		return [2]uint64{uint64(binary.BigEndian.Uint32(v4[:])) << 32, 0}
	}
	v6 := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(v6[:]), binary.BigEndian.Uint64(v6[8:])}
}

// hash returns a hash of a network of an address, by two products as in wyhash.
func (r *Rates) hash(address [2]uint64, prefixBits int) uint64 {
	if prefixBits <= 64 {
		address[0] &= ^uint64(0) << (64 - prefixBits)
		address[1] = 0
	}
	high, low := bits.Mul64(address[0]^r.seed[0], address[1]^r.seed[1]^uint64(prefixBits)<<32)
	high, low = bits.Mul64(high^low, r.seed[0]|1)
	return high ^ low
}

// find finds the place of a network.
func (r *Rates) find(hash, at uint64) place {
	s := &r.sets[hash&(sets-1)]
	p := place{tag: hash >> timeBits << timeBits}
	least := ^uint64(0)
	for i := range s {
		content := s[i].Load()
		if content != 0 && content>>timeBits == p.tag>>timeBits {
			p.entry, p.before, p.ahead = &s[i], content, r.ahead(content, at)
			return p
		}
		if ahead := r.ahead(content, at); ahead < least {
			p.entry, p.before, least = &s[i], content, ahead
		}
	}
	return p
}

// ahead returns how far the time of an entry is ahead of now. Times wrap: those that are too far ahead are past.
func (r *Rates) ahead(content, at uint64) uint64 {
	if ahead := (content - at) & timeMask; ahead <= r.most {
		return ahead
	}
	return 0
}

// pay moves the time of the network ahead by an interval. If another goroutine has changed the entry, that one's answer
// is not counted twice.
func (p *place) pay(at, interval uint64) {
	p.entry.CompareAndSwap(p.before, p.tag|(at+p.ahead+interval)&timeMask)
}
