package observation

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"meridian/health"
)

// maxAhead is how far the boot of a vantage may be ahead of this node's clock: a boot of a far future would make all
// messages after a correction of that clock look like replays. maxBehind is how far a live heartbeat may be behind: an older
// one was recorded, and is sent again to a node that has just started.
const (
	maxAhead  = time.Hour
	maxBehind = time.Hour
)

// Rejection is why a message was rejected, as in metrics.
type Rejection string

// The reasons.
const (
	Malformed      Rejection = "malformed"
	OtherVersion   Rejection = "version"
	UnknownVantage Rejection = "unknown_vantage"
	BadSignature   Rejection = "signature"
	Replay         Rejection = "replay"
	ClockDiffers   Rejection = "clock"
)

// Rejections lists the reasons.
func Rejections() []Rejection {
	return []Rejection{Malformed, OtherVersion, UnknownVantage, BadSignature, Replay, ClockDiffers}
}

// RejectionError is a rejected message.
type RejectionError struct {
	Reason  Rejection
	Vantage string // as the message says; empty if it could not be read
	Detail  string
}

func (e *RejectionError) Error() string { return e.Detail }

// Vantage holds the messages of a vantage.
type Vantage struct {
	Sender                // of its last heartbeat; Seq 0: none has come
	Heartbeat   Heartbeat // the last
	ArrivedAt   time.Time // when that arrived, by this node's clock; zero: it was stored before
	Skew        time.Duration
	Complete    bool           // its blocks are those of the last heartbeat
	Remembered  bool           // its heartbeat is of an earlier process of this node, and its blocks are not known
	Address     netip.AddrPort // where it can be asked directly; the zero value: not known
	blocks      [Blocks][]Entry
	blockStamps [Blocks]stamp
	entries     map[health.ProbeID]Entry

	heartbeat, record stamp // of the last heartbeat, and the record
	startedAt         time.Time
	direct            bool // its last heartbeat came directly
}

// stamp is a message as it was received.
type stamp struct {
	Sender
	raw []byte // nil: none
	at  time.Time
}

// Entry returns the opinion of a vantage of a probe; false: it has published none.
func (v *Vantage) Entry(id health.ProbeID) (Entry, bool) {
	e, ok := v.entries[id]
	return e, ok
}

// Book holds what the vantages have published. It is not safe for concurrent use.
type Book struct {
	cluster  string
	trust    map[string]ed25519.PublicKey
	vantages map[string]*Vantage
	rejected map[Rejection]uint64
	moved    uint64 // how many times an address has changed
}

// NewBook returns an empty book of the trusted vantages of a cluster.
func NewBook(cluster string, trust map[string]ed25519.PublicKey) *Book {
	return &Book{cluster: cluster, trust: trust, vantages: make(map[string]*Vantage), rejected: make(map[Rejection]uint64)}
}

// Vantages returns the vantages that have published, by name. Do not change them.
func (b *Book) Vantages() map[string]*Vantage { return b.vantages }

// AddressChanges returns how many times the address of a vantage has changed.
func (b *Book) AddressChanges() uint64 { return b.moved }

// Rejected returns how many messages were rejected, by reason.
func (b *Book) Rejected() map[Rejection]uint64 { return maps.Clone(b.rejected) }

// Receive applies a message of the store and returns the probes with another opinion. A message that is stored, not live, was
// published at an unknown time: it does not make its vantage fresh, and one that is older than a known one is ignored.
//
// The error is a *RejectionError.
func (b *Book) Receive(raw []byte, live bool, now time.Time) (changed []health.ProbeID, err error) {
	arrival := arrival{now: now}
	if live {
		arrival.at = now
	}
	return b.receive(raw, arrival)
}

// arrival is how a message came.
type arrival struct {
	now    time.Time
	at     time.Time // when it came to this vantage, or to the first one that passed it on; zero: it was stored before
	direct bool      // not through the store
}

func (a *arrival) live() bool { return !a.at.IsZero() }

// receive applies a message.
func (b *Book) receive(raw []byte, a arrival) (changed []health.ProbeID, err error) {
	m, err := Decode(raw)
	if err == nil && b.holds(&m, raw) {
		return nil, nil // read again, as most messages that several vantages pass on
	}
	if err := b.verify(&m, err, raw, &a); err != nil {
		return nil, b.reject(err)
	}
	v := b.vantages[m.Vantage]
	if v == nil {
		v = &Vantage{entries: make(map[health.ProbeID]Entry)}
		b.vantages[m.Vantage] = v
	}
	last := v.lastOf(&m)
	switch {
	case m.Sender.After(last.Sender) && m.Boot >= v.Boot:
	case !a.live(), m.Boot == last.Boot && m.Seq == last.Seq: // read again
		v.complete()
		return nil, nil
	case (a.direct || v.direct) && v.overtook(&m, last, &a):
		return nil, nil
	default:
		return nil, b.reject(&RejectionError{Replay, m.Vantage, fmt.Sprintf("message %d of boot %d of vantage %s was received before, or a later one", m.Seq, m.Boot, m.Vantage)})
	}
	*last = stamp{m.Sender, raw, a.now}
	return b.apply(v, &m, &a), nil
}

// apply applies a message that is new to its vantage, and returns the probes with another opinion.
func (b *Book) apply(v *Vantage, m *Message, a *arrival) (changed []health.ProbeID) {
	switch {
	case m.Block != nil:
		return v.replace(m.Block.Number, m.Block.Entries)
	case m.Record != nil:
		if v.Address != m.Record.Address {
			b.moved++
		}
		v.Address = m.Record.Address
		return nil
	}
	return v.applyHeartbeat(m, a)
}

// holds reports whether a message is the last of its kind in b, octet by octet: it has been verified.
func (b *Book) holds(m *Message, raw []byte) bool {
	v := b.vantages[m.Vantage]
	if v == nil || !bytes.Equal(v.lastOf(m).raw, raw) {
		return false
	}
	v.complete()
	return true
}

// lastOf returns the last message of v of the same kind as m.
func (v *Vantage) lastOf(m *Message) *stamp {
	switch {
	case m.Block != nil:
		return &v.blockStamps[m.Block.Number]
	case m.Record != nil:
		return &v.record
	}
	return &v.heartbeat
}

// maxOvertaken is how much later than a newer message one may come that took another way, by vantages that pass messages on.
const maxOvertaken = 30 * time.Second

// overtook reports whether m is older than last because it took a longer way: what follows it has come just before.
func (v *Vantage) overtook(m *Message, last *stamp, a *arrival) bool {
	switch {
	case m.Block == nil && m.Record == nil:
		return v.Heartbeat.At.Sub(m.Heartbeat.At) <= maxOvertaken
	case m.Boot < v.Boot:
		return a.now.Sub(v.startedAt) <= maxOvertaken
	}
	return a.now.Sub(last.at) <= maxOvertaken
}

// verify returns why a message that was decoded, or not, is rejected; nil: it is not.
//
//	the message               reason
//	------------------------  ---------------
//	cannot be read            malformed
//	has another version       version
//	is of a name not in trust  unknown_vantage
//	has another signature     signature
//	has a boot of the future  clock
//	is live and old           clock
func (b *Book) verify(m *Message, err error, raw []byte, a *arrival) error {
	switch {
	case errors.Is(err, errVersion):
		return &RejectionError{OtherVersion, "", err.Error()}
	case err != nil:
		return &RejectionError{Malformed, "", err.Error()}
	}
	key, ok := b.trust[m.Vantage]
	switch {
	case !ok:
		return &RejectionError{UnknownVantage, m.Vantage, fmt.Sprintf("vantage %s is not in cluster.trust", m.Vantage)}
	case !Verify(raw, b.cluster, key):
		return &RejectionError{BadSignature, m.Vantage, fmt.Sprintf("the signature is not of vantage %s in cluster %s", m.Vantage, b.cluster)}
	case m.Boot > uint64(a.now.Add(maxAhead).UnixNano()):
		return &RejectionError{ClockDiffers, m.Vantage, fmt.Sprintf("the clock of vantage %s is more than %v ahead of this node's", m.Vantage, maxAhead)}
	case a.live() && m.Block == nil && m.Record == nil && a.at.Sub(m.Heartbeat.At) > maxBehind:
		return &RejectionError{ClockDiffers, m.Vantage, fmt.Sprintf("the clock of vantage %s is more than %v behind this node's, or its heartbeat was sent again", m.Vantage, maxBehind)}
	}
	return nil
}

// reject counts a rejected message.
func (b *Book) reject(err error) error {
	if rejected := (*RejectionError)(nil); errors.As(err, &rejected) {
		b.rejected[rejected.Reason]++
	}
	return err
}

// replace replaces the entries of a block, and returns the probes with another opinion.
func (v *Vantage) replace(number uint8, entries []Entry) (changed []health.ProbeID) {
	before := v.blocks[number]
	v.blocks[number] = entries
	for _, e := range entries {
		if old, ok := v.entries[e.ID]; !ok || old != e {
			v.entries[e.ID] = e
			changed = append(changed, e.ID)
		}
	}
	for _, e := range before {
		if _, ok := slices.BinarySearchFunc(entries, e.ID, compareID); !ok {
			delete(v.entries, e.ID)
			changed = append(changed, e.ID)
		}
	}
	return changed
}

func compareID(e Entry, id health.ProbeID) int {
	switch {
	case e.ID < id:
		return -1
	case e.ID > id:
		return 1
	}
	return 0
}

// applyHeartbeat applies a heartbeat of v. The first of a new boot ends the blocks and the record of earlier ones.
func (v *Vantage) applyHeartbeat(m *Message, a *arrival) (changed []health.ProbeID) {
	if m.Boot != v.Boot {
		for number := range v.blocks {
			if last := &v.blockStamps[number]; last.Boot < m.Boot {
				changed = append(changed, v.replace(uint8(number), nil)...)
				last.raw = nil
			}
		}
		if v.record.Boot < m.Boot {
			v.record, v.Address = stamp{}, netip.AddrPort{}
		}
		v.startedAt = a.now
	}
	v.Sender, v.Heartbeat, v.direct = m.Sender, m.Heartbeat, a.direct
	v.Complete = false
	v.complete()
	if a.live() {
		v.ArrivedAt, v.Skew = a.at, m.Heartbeat.At.Sub(a.at)
	}
	return changed
}

// complete updates whether the blocks of v are those of its last heartbeat, if they were not.
func (v *Vantage) complete() {
	v.Complete = v.Complete || v.Seq != 0 && DigestBlocks(&v.blocks) == v.Heartbeat.Blocks
	v.Remembered = v.Remembered && !v.Complete
}
