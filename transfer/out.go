package transfer

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/miekg/dns"

	"meridian/transfer/journal"
	"meridian/transfer/tsig"
	"meridian/zones"
)

const (
	headerSize  = 12
	frameHead   = 2 // the length before each message of a stream
	optSize     = 11
	recordFixed = 10       // type, class, TTL and RDLENGTH
	pointer     = 0xc0     // the upper bits of a compressed name
	maxPointer  = 0x3fff   // the largest offset that a pointer can have
	messageSize = 16 << 10 // of a message with more than one record: pointers reach all of it
	maxMessage  = 1<<16 - 1
)

// Request is a request for a transfer that is granted.
type Request struct {
	Head  []byte         // the header and the question of the request
	EDNS  bool           // it has an OPT record
	TSIG  *tsig.Response // signs the messages; nil: the request is not signed
	Clock func() time.Time
}

// writer fills messages with records. It holds one message.
type writer struct {
	*Request
	yield func(frame []byte) bool

	buf      []byte
	apex     []byte // of the zone; its name is the question's
	last     []byte // owner of the last record
	lastAt   int    // its offset in the message; 0: none
	count    int    // records in the message
	messages int
	stopped  bool
}

// Messages yields the messages of a whole zone (RFC 5936 2.2), each after its length. A message is valid until the next
// one; nil means that a record does not fit into any, and ends the transfer. buf is memory to use.
func (c *Content) Messages(r *Request, buf []byte) func(yield func(frame []byte) bool) {
	return func(yield func([]byte) bool) {
		w := &writer{Request: r, yield: yield, buf: buf[:0], apex: c.apex()}
		w.begin()
		soa := c.soa()
		w.set(soa)
		for set := range c.sets {
			if w.set(set); w.stopped {
				return
			}
		}
		if w.set(soa); !w.stopped {
			w.flush()
		}
	}
}

// Difference yields the messages of the difference between two serials (RFC 1995 4), as Messages does for the whole zone.
func Difference(change *journal.Change, r *Request, buf []byte) func(yield func(frame []byte) bool) {
	return func(yield func([]byte) bool) {
		w := &writer{Request: r, yield: yield, buf: buf[:0], apex: change.NewSOA.Owner()}
		w.begin()
		for rr := range Sequence(change) {
			if w.record(rr.Owner(), rr.Type(), rr.TTL(), []byte(rr.Data())); w.stopped {
				return
			}
		}
		w.flush()
	}
}

// Sequence yields the records of a difference: the new SOA, the old SOA, what is deleted, the new SOA, what is added, and the new
// SOA.
func Sequence(change *journal.Change) func(yield func(journal.Record) bool) {
	return func(yield func(journal.Record) bool) {
		if !yield(change.NewSOA) || !yield(change.OldSOA) {
			return
		}
		for _, r := range change.Deleted {
			if !yield(r) {
				return
			}
		}
		if !yield(change.NewSOA) {
			return
		}
		for _, r := range change.Added {
			if !yield(r) {
				return
			}
		}
		yield(change.NewSOA)
	}
}

// Refusal returns a message without records, after its length.
func (r *Request) Refusal(rcode byte, buf []byte) (frame []byte) {
	w := &writer{Request: r, yield: func(message []byte) bool { frame = message; return true }, buf: buf[:0]}
	w.begin()
	w.buf[frameHead+2] &^= flagAA
	w.buf[frameHead+3] |= rcode
	w.flush()
	return frame
}

// The bits of the third octet of the header.
const (
	flagQR = 0x80
	flagAA = 0x04
	flagRD = 0x01
)

// begin begins a message: each has the question, to which the owners of its records point.
func (w *writer) begin() {
	w.buf = append(append(w.buf[:0], 0, 0), w.Head...)
	h := w.buf[frameHead:]
	h[2], h[3] = flagQR|flagAA|h[2]&flagRD, 0
	copy(h[4:headerSize], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	w.lastAt, w.count = 0, 0
}

// room returns how many octets a message of at most size octets still has for records.
func (w *writer) room(size int) int {
	left := size - (len(w.buf) - frameHead)
	if w.EDNS && w.messages == 0 {
		left -= optSize
	}
	if w.TSIG != nil {
		left -= w.TSIG.Size()
	}
	return left
}

// set adds the records of a set.
func (w *writer) set(set zones.OwnedSet) {
	for data := set.Data; len(data) > 0 && !w.stopped; { // set.RDATA would allocate for each set
		end := 2 + int(binary.BigEndian.Uint16(data))
		w.record(set.Owner, set.Type, set.TTL, data[2:end])
		data = data[end:]
	}
}

// record adds a record. It begins another message if this one is full. A record that is larger than a usual message has
// one of its own.
func (w *writer) record(owner []byte, typ uint16, ttl uint32, rdata []byte) {
	if size := len(owner) + recordFixed + len(rdata); size > w.room(messageSize) {
		if w.count > 0 {
			if w.flush(); w.stopped {
				return
			}
			w.begin()
		}
		if size > w.room(maxMessage) {
			w.yield(nil) // only with the longest names of a key and an owner
			w.stopped = true
			return
		}
	}
	w.owner(owner)
	w.buf = append(w.buf, byte(typ>>8), byte(typ), 0, dns.ClassINET, byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl))
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(len(rdata)))
	w.buf = append(w.buf, rdata...)
	w.count++
}

// owner adds the owner of a record: a pointer to the same owner of the record before, or its labels below the zone, and a
// pointer to the question.
func (w *writer) owner(owner []byte) {
	if w.lastAt > 0 && bytes.Equal(w.last, owner) {
		w.buf = append(w.buf, pointer|byte(w.lastAt>>8), byte(w.lastAt))
		return
	}
	w.last = owner
	at := len(w.buf) - frameHead
	if len(w.apex) == 1 { // the root is shorter than a pointer to it
		w.buf = append(w.buf, owner...)
	} else {
		w.buf = append(append(w.buf, owner[:len(owner)-len(w.apex)]...), pointer, headerSize)
	}
	if w.lastAt = at; at > maxPointer || len(owner) == 1 {
		w.lastAt = 0
	}
}

// flush completes the message and yields it.
func (w *writer) flush() {
	h := w.buf[frameHead:]
	binary.BigEndian.PutUint16(h[6:], uint16(w.count))
	if w.EDNS && w.messages == 0 {
		binary.BigEndian.PutUint16(h[10:], 1)
		w.buf = append(w.buf, 0, 0, byte(dns.TypeOPT), 4, 208, 0, 0, 0, 0, 0, 0) // a UDP size of 1232
	}
	if w.TSIG != nil {
		w.buf = w.TSIG.Append(w.buf, frameHead, w.Clock())
	}
	binary.BigEndian.PutUint16(w.buf, uint16(len(w.buf)-frameHead))
	w.messages++
	w.stopped = !w.yield(w.buf)
}
