package observation

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"meridian/health"
)

// Exchange is what one vantage sends to another directly: what it knows, and messages that the other one lacks. A request and
// its answer have the same form.
//
// The binary form, in network byte order:
//
//	octets  content
//	------  ----------------------------------------------------------------------------
//	1       version, 1
//	2       count of what is known, for each of which:
//	1+n     length and name of the vantage
//	16      boot and sequence number of the last heartbeat with all of its blocks; 0: none
//	16      boot and sequence number of the record; 0: none
//	4       count of messages, for each of which:
//	4       milliseconds since it came to the sender; all bits set: it was stored before
//	4       length
//	n       the message
type Exchange struct {
	Known    []Known
	Messages []Passed
}

// Known is what is known of a vantage.
type Known struct {
	Vantage           string
	Heartbeat, Record Position
}

// Position is the place of a message among all of its sender.
type Position struct{ Boot, Seq uint64 }

// Passed is a message that a vantage passes on.
type Passed struct {
	Raw []byte
	Age time.Duration // since it came to the vantage that passes it on; negative: it was stored before
}

// The limits of an exchange: a vantage with a million targets needs 13 MiB.
const (
	MaxExchange     = 32 << 20 // octets
	maxKnown        = 4096
	exchangeVersion = 1
	storedBefore    = math.MaxUint32
)

// Append appends the binary form of e.
func (e *Exchange) Append(b []byte) []byte {
	b = append(b, exchangeVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Known)))
	for _, k := range e.Known {
		b = append(append(b, byte(len(k.Vantage))), k.Vantage...)
		for _, n := range []uint64{k.Heartbeat.Boot, k.Heartbeat.Seq, k.Record.Boot, k.Record.Seq} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Messages)))
	for _, m := range e.Messages {
		age := uint32(storedBefore)
		if m.Age >= 0 {
			age = uint32(min(m.Age.Milliseconds(), storedBefore-1))
		}
		b = binary.BigEndian.AppendUint32(b, age)
		b = binary.BigEndian.AppendUint32(b, uint32(len(m.Raw)))
		b = append(b, m.Raw...)
	}
	return b
}

// DecodeExchange reads an exchange. The messages are verified when a book receives them.
func DecodeExchange(raw []byte) (Exchange, error) {
	r := reader{left: raw}
	if v := r.take(1)[0]; !r.bad && v != exchangeVersion {
		return Exchange{}, fmt.Errorf("%w: %d, want %d", ErrExchangeVersion, v, exchangeVersion)
	}
	var e Exchange
	for range binary.BigEndian.Uint16(r.take(2)) {
		k := Known{r.name(), Position{r.uint64(), r.uint64()}, Position{r.uint64(), r.uint64()}}
		if r.bad || len(e.Known) == maxKnown {
			return Exchange{}, errMalformedExchange
		}
		e.Known = append(e.Known, k)
	}
	for range r.uint32() {
		m := Passed{Age: -1}
		if age := r.uint32(); age != storedBefore {
			m.Age = time.Duration(age) * time.Millisecond
		}
		if n := int64(r.uint32()); n <= int64(len(r.left)) {
			m.Raw = r.take(int(n))
		} else {
			r.bad = true
		}
		if r.bad {
			return Exchange{}, errMalformedExchange
		}
		e.Messages = append(e.Messages, m)
	}
	if r.bad || len(r.left) > 0 {
		return Exchange{}, errMalformedExchange
	}
	return e, nil
}

var errMalformedExchange = errors.New("malformed exchange")

// ErrExchangeVersion is the error of an exchange of a version that this one does not read.
var ErrExchangeVersion = errors.New("exchange of another version")

func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

// position returns the place of the message of a stamp.
func (s *stamp) position() Position { return Position{s.Boot, s.Seq} }

// after reports whether a message of s is later than a position.
func (s *stamp) after(p Position) bool {
	return s.raw != nil && s.Sender.After(Sender{Boot: p.Boot, Seq: p.Seq})
}

// Known returns what b knows, by name.
func (b *Book) Known() []Known {
	all := make([]Known, 0, len(b.vantages))
	for _, name := range slices.Sorted(maps.Keys(b.vantages)) {
		v, k := b.vantages[name], Known{Vantage: name}
		if v.Complete {
			k.Heartbeat = v.heartbeat.position()
		}
		if v.record.raw != nil {
			k.Record = v.record.position()
		}
		all = append(all, k)
	}
	return all
}

// Missing returns the messages of b that a vantage lacks which knows this, of all vantages or of one; name "": of all. What
// exceeds MaxExchange is for the next exchange.
func (b *Book) Missing(known []Known, name string, now time.Time) (all []Passed) {
	at, size := make(map[string]Known, len(known)), 0
	for _, k := range known {
		at[k.Vantage] = k
	}
	for _, of := range slices.Sorted(maps.Keys(b.vantages)) {
		if name != "" && of != name {
			continue
		}
		more := b.vantages[of].missing(at[of], now)
		for _, m := range more {
			size += len(m.Raw) + 8
		}
		if size > MaxExchange/2 && len(all) > 0 {
			break
		}
		all = append(all, more...)
	}
	return all
}

// missing returns the messages of v that a vantage lacks which knows this: the heartbeat last, because it says that the blocks
// are complete.
func (v *Vantage) missing(k Known, now time.Time) (all []Passed) {
	age := time.Duration(-1)
	if !v.ArrivedAt.IsZero() {
		age = max(now.Sub(v.ArrivedAt), 0)
	}
	for number := range v.blockStamps {
		if s := &v.blockStamps[number]; s.after(k.Heartbeat) {
			all = append(all, Passed{s.raw, max(now.Sub(s.at), 0)})
		}
	}
	if v.record.after(k.Record) {
		all = append(all, Passed{v.record.raw, max(now.Sub(v.record.at), 0)})
	}
	if v.heartbeat.after(k.Heartbeat) {
		all = append(all, Passed{v.heartbeat.raw, age})
	}
	return all
}

// ReceivePassed applies a message that another vantage has passed on, as Receive does.
func (b *Book) ReceivePassed(m Passed, now time.Time) (changed []health.ProbeID, err error) {
	a := arrival{now: now, direct: true}
	if m.Age >= 0 {
		a.at = now.Add(-m.Age)
	}
	return b.receive(m.Raw, a)
}

// Remember returns what lets the next process ask the other vantages directly: their last heartbeats and their records.
func (b *Book) Remember(except string) (all [][]byte) {
	for _, name := range slices.Sorted(maps.Keys(b.vantages)) {
		v := b.vantages[name]
		for _, s := range []*stamp{&v.record, &v.heartbeat} {
			if s.raw != nil && name != except {
				all = append(all, s.raw)
			}
		}
	}
	return all
}

// Restore applies what Remember of an earlier process returned. What is not trusted any more is ignored.
func (b *Book) Restore(all [][]byte, now time.Time) {
	for _, raw := range all {
		m, err := Decode(raw)
		if err != nil || !b.trusts(m.Vantage, raw) {
			continue
		}
		if _, err := b.receive(raw, arrival{now: now}); err != nil {
			continue // it is counted
		}
		v := b.vantages[m.Vantage]
		v.Remembered = v.Seq != 0 && !v.Complete
	}
}

// trusts reports whether a message has the signature of its vantage, which is trusted.
func (b *Book) trusts(name string, raw []byte) bool {
	key, ok := b.trust[name]
	return ok && len(key) == ed25519.PublicKeySize && Verify(raw, b.cluster, key)
}
