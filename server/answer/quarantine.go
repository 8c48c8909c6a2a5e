package answer

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// quarantineTime is how long a packet that caused a panic is dropped.
	quarantineTime = 10 * time.Minute
	// maxQuarantined is the number of packets in quarantine; a new one replaces the oldest.
	maxQuarantined = 64
)

// quarantine holds the packets that caused a panic. The same packet again is dropped before it is parsed.
type quarantine struct {
	seed    maphash.Seed
	mu      sync.Mutex // held while current is replaced; guards count
	count   uint64
	current atomic.Pointer[[]*quarantined] // immutable, the oldest first; nil: there is none
}

// quarantined is a packet in quarantine.
type quarantined struct {
	QuarantinedPacket
	print   uint64 // see fingerprint
	dropped atomic.Uint64
}

// QuarantinedPacket is a packet that caused a panic and is dropped for a time.
type QuarantinedPacket struct {
	Number  uint64    `json:"-"`     // grows with each packet
	Query   string    `json:"query"` // its name and type; or its length if it has no readable question
	Client  string    `json:"client"`
	Reason  string    `json:"reason"` // of the panic
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Dropped uint64    `json:"dropped"` // packets that were the same
}

// fingerprint returns a hash of a packet with a header, without its id. The seed is secret: no client can make another
// packet with the same one.
func (q *quarantine) fingerprint(packet []byte) uint64 { return maphash.Bytes(q.seed, packet[2:]) }

// add puts a packet into quarantine and returns the packets that are in it now.
func (q *quarantine) add(packet []byte, p QuarantinedPacket) *[]*quarantined {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count++
	p.Number = q.count
	added := &quarantined{QuarantinedPacket: p, print: q.fingerprint(packet)}
	var all []*quarantined
	if before := q.current.Load(); before != nil {
		all = slices.DeleteFunc(slices.Clone(*before), func(one *quarantined) bool { return one.print == added.print })
	}
	all = append(all[max(0, len(all)-maxQuarantined+1):], added)
	q.current.Store(&all)
	return &all
}

// ReleaseQuarantined ends the quarantine of the packets that have been in it long enough.
func (e *Engine) ReleaseQuarantined(now time.Time) {
	q := &e.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.current.Load()
	if before == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(*before), func(one *quarantined) bool { return !now.Before(one.Until) })
	switch len(left) {
	case len(*before):
	case 0:
		q.current.Store(nil)
	default:
		q.current.Store(&left)
	}
}

// Quarantined returns the packets in quarantine, the oldest first.
func (e *Engine) Quarantined() (all []QuarantinedPacket) {
	if current := e.quarantine.current.Load(); current != nil {
		for _, one := range *current {
			p := one.QuarantinedPacket
			p.Dropped = one.dropped.Load()
			all = append(all, p)
		}
	}
	return all
}

// isQuarantined reports whether a packet is in quarantine, and then counts it.
func (r *Responder) isQuarantined(packet []byte) bool {
	print := r.engine.quarantine.fingerprint(packet)
	for _, one := range *r.quarantined {
		if one.print == print {
			one.dropped.Add(1)
			r.counts.add(uint32(quarantineDropped))
			r.countQuery(noAnswer)
			return true
		}
	}
	return false
}

// quarantine puts a packet that caused a panic into quarantine. A panic on a query that is only rehearsed says nothing of
// the packets of clients.
func (r *Responder) quarantine(packet []byte, source netip.Addr, fault any) {
	if r.silent {
		return
	}
	now := r.engine.clock()
	r.quarantined = r.engine.quarantine.add(packet, QuarantinedPacket{
		Query: describeQuery(packet), Client: source.String(), Reason: fmt.Sprint(fault), Since: now, Until: now.Add(quarantineTime),
	})
}

// describeQuery returns the name and type of the first question of a packet, as far as it can be read.
func describeQuery(packet []byte) string {
	name, end, err := dns.UnpackDomainName(packet, HeaderSize)
	if err != nil || end+4 > len(packet) || binary.BigEndian.Uint16(packet[4:]) == 0 {
		return strconv.Itoa(len(packet)) + " octets without a readable question"
	}
	return name + " " + dns.Type(binary.BigEndian.Uint16(packet[end:])).String()
}
