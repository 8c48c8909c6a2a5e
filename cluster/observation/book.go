package observation

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
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

// Vantage is what is known of a vantage.
type Vantage struct {
	Sender                // of its last heartbeat; Seq 0: none has come
	Heartbeat   Heartbeat // the last
	ArrivedAt   time.Time // when that arrived, by this node's clock; zero: it was stored before
	Skew        time.Duration
	Complete    bool // its blocks are those of the last heartbeat
	blocks      [Blocks][]Entry
	blockSender [Blocks]Sender
	entries     map[health.ProbeID]Entry
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
}

// NewBook returns an empty book of the trusted vantages of a cluster.
func NewBook(cluster string, trust map[string]ed25519.PublicKey) *Book {
	return &Book{cluster: cluster, trust: trust, vantages: make(map[string]*Vantage), rejected: make(map[Rejection]uint64)}
}

// Vantages returns the vantages that have published, by name. Do not change them.
func (b *Book) Vantages() map[string]*Vantage { return b.vantages }

// Rejected returns how many messages were rejected, by reason.
func (b *Book) Rejected() map[Rejection]uint64 { return maps.Clone(b.rejected) }

// Receive applies a message and returns the probes with another opinion. A message that is stored, not live, was published
// at an unknown time: it does not make its vantage fresh, and one that is older than a known one is ignored.
//
// The error is a *RejectionError.
func (b *Book) Receive(raw []byte, live bool, now time.Time) (changed []health.ProbeID, err error) {
	m, err := b.verify(raw, live, now)
	if err != nil {
		return nil, b.reject(err)
	}
	v := b.vantages[m.Vantage]
	if v == nil {
		v = &Vantage{entries: make(map[health.ProbeID]Entry)}
		b.vantages[m.Vantage] = v
	}
	last := v.Sender
	if m.Block != nil {
		last = v.blockSender[m.Block.Number]
	}
	switch {
	case m.Sender.After(last) && m.Boot >= v.Boot:
	case !live, m.Boot == last.Boot && m.Seq == last.Seq: // read again
		return nil, nil
	default:
		return nil, b.reject(&RejectionError{Replay, m.Vantage, fmt.Sprintf("message %d of boot %d of vantage %s was received before, or a later one", m.Seq, m.Boot, m.Vantage)})
	}
	if m.Block != nil {
		return v.applyBlock(&m), nil
	}
	return v.applyHeartbeat(&m, live, now), nil
}

// verify decodes and verifies a message.
//
//	the message               reason
//	------------------------  ---------------
//	cannot be read            malformed
//	has another version       version
//	is of a name not in trust  unknown_vantage
//	has another signature     signature
//	has a boot of the future  clock
//	is live and old           clock
func (b *Book) verify(raw []byte, live bool, now time.Time) (Message, error) {
	m, err := Decode(raw)
	switch {
	case errors.Is(err, errVersion):
		return m, &RejectionError{OtherVersion, "", err.Error()}
	case err != nil:
		return m, &RejectionError{Malformed, "", err.Error()}
	}
	key, ok := b.trust[m.Vantage]
	switch {
	case !ok:
		return m, &RejectionError{UnknownVantage, m.Vantage, fmt.Sprintf("vantage %s is not in cluster.trust", m.Vantage)}
	case !Verify(raw, b.cluster, key):
		return m, &RejectionError{BadSignature, m.Vantage, fmt.Sprintf("the signature is not of vantage %s in cluster %s", m.Vantage, b.cluster)}
	case m.Boot > uint64(now.Add(maxAhead).UnixNano()):
		return m, &RejectionError{ClockDiffers, m.Vantage, fmt.Sprintf("the clock of vantage %s is more than %v ahead of this node's", m.Vantage, maxAhead)}
	case live && m.Block == nil && now.Sub(m.Heartbeat.At) > maxBehind:
		return m, &RejectionError{ClockDiffers, m.Vantage, fmt.Sprintf("the clock of vantage %s is more than %v behind this node's, or its heartbeat was sent again", m.Vantage, maxBehind)}
	}
	return m, nil
}

// reject counts a rejected message.
func (b *Book) reject(err error) error {
	if rejected := (*RejectionError)(nil); errors.As(err, &rejected) {
		b.rejected[rejected.Reason]++
	}
	return err
}

// applyBlock replaces a block of v.
func (v *Vantage) applyBlock(m *Message) (changed []health.ProbeID) {
	v.blockSender[m.Block.Number] = m.Sender
	return v.replace(m.Block.Number, m.Block.Entries)
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

// applyHeartbeat applies a heartbeat of v. The first of a new boot ends the blocks of earlier ones.
func (v *Vantage) applyHeartbeat(m *Message, live bool, now time.Time) (changed []health.ProbeID) {
	if m.Boot != v.Boot {
		for number := range v.blocks {
			if v.blockSender[number].Boot < m.Boot {
				changed = append(changed, v.replace(uint8(number), nil)...)
			}
		}
	}
	v.Sender, v.Heartbeat = m.Sender, m.Heartbeat
	v.Complete = DigestBlocks(&v.blocks) == m.Heartbeat.Blocks
	if live {
		v.ArrivedAt, v.Skew = now, m.Heartbeat.At.Sub(now)
	}
	return changed
}
