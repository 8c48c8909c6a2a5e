package journal

import (
	"encoding/binary"
	"errors"
	"time"

	"meridian/dnsname"
)

// Digest is a hash of all records of a zone but the serial. The order of the records does not matter.
type Digest [4]uint64

// Origin is the update that a record came with.
type Origin struct {
	Key string    `json:"key"` // of its signature
	At  time.Time `json:"at"`
}

// Change is a step of a zone from one serial to a later one. A record with a changed TTL is deleted with the old one and
// added with the new one.
type Change struct {
	OldSOA, NewSOA Record
	Deleted, Added []Record // without SOA records
	Digest         Digest   // of the zone after it
	Update         *Origin  // nil: the files, the configuration or the primary changed
}

// From returns the serial before the change.
func (c *Change) From() uint32 { return c.OldSOA.Serial() }

// To returns the serial after the change.
func (c *Change) To() uint32 { return c.NewSOA.Serial() }

// merge adds a later change to this one, which then has the difference of both.
func (c *Change) merge(later *Change) {
	deleted, added := setOf(c.Deleted), setOf(c.Added)
	for _, r := range later.Deleted {
		move(r, added, deleted)
	}
	for _, r := range later.Added {
		move(r, deleted, added)
	}
	c.NewSOA, c.Digest = later.NewSOA, later.Digest
	c.Deleted, c.Added = inOrder(c.Deleted, later.Deleted, deleted), inOrder(c.Added, later.Added, added)
}

func setOf(records []Record) map[Record]bool {
	set := make(map[Record]bool, len(records))
	for _, r := range records {
		set[r] = true
	}
	return set
}

// move removes a record from one set, or else adds it to the other.
func move(r Record, from, to map[Record]bool) {
	if from[r] {
		delete(from, r)
		return
	}
	to[r] = true
}

// inOrder returns the records of a set in the order of two lists.
func inOrder(first, second []Record, set map[Record]bool) []Record {
	all := make([]Record, 0, len(set))
	for _, list := range [2][]Record{first, second} {
		for _, r := range list {
			if set[r] {
				all = append(all, r)
				delete(set, r)
			}
		}
	}
	return all
}

// The kinds of an entry in a file.
const (
	kindBase   = 'B' // a serial, and what the updates so far changed
	kindChange = 'C'
)

var errEntry = errors.New("an entry that is not valid")

// encode returns the entry of a change.
func (c *Change) encode() []byte {
	b := []byte{kindChange}
	b = appendDigest(b, c.Digest)
	b = appendOrigin(b, c.Update)
	b = appendRecord(b, c.OldSOA)
	b = appendRecord(b, c.NewSOA)
	b = appendRecords(b, c.Deleted)
	return appendRecords(b, c.Added)
}

// decodeChange reads the entry of a change.
func decodeChange(b []byte) (*Change, error) {
	d := decoder{rest: b}
	if d.octet() != kindChange {
		return nil, errEntry
	}
	c := &Change{Digest: d.digest(), Update: d.origin(), OldSOA: d.soa(), NewSOA: d.soa(), Deleted: d.records(), Added: d.records()}
	if d.failed || len(d.rest) > 0 {
		return nil, errEntry
	}
	return c, nil
}

func appendDigest(b []byte, digest Digest) []byte {
	for _, word := range digest {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return b
}

// appendOrigin appends the name of a key after its length, and a time; an empty name: there is no origin.
func appendOrigin(b []byte, o *Origin) []byte {
	if o == nil {
		return append(b, 0)
	}
	b = append(binary.AppendUvarint(b, uint64(len(o.Key))), o.Key...)
	return binary.BigEndian.AppendUint64(b, uint64(o.At.Unix()))
}

func appendRecord(b []byte, r Record) []byte {
	return append(binary.AppendUvarint(b, uint64(len(r))), r...)
}

func appendRecords(b []byte, records []Record) []byte {
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		b = appendRecord(b, r)
	}
	return b
}

// decoder reads the parts of an entry. After an error it returns zero values.
type decoder struct {
	rest   []byte
	failed bool
}

// take returns the next n octets; nil: there are fewer.
func (d *decoder) take(n uint64) []byte {
	if d.failed || n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) octet() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if d.failed || size <= 0 {
		d.failed = true
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) word() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) digest() (digest Digest) {
	for i := range digest {
		digest[i] = d.word()
	}
	return digest
}

func (d *decoder) origin() *Origin {
	n := d.number()
	if n == 0 || d.failed {
		return nil
	}
	if n > maxKey {
		d.failed = true
		return nil
	}
	return &Origin{Key: string(d.take(n)), At: time.Unix(int64(d.word()), 0).UTC()}
}

// maxKey is the length of the longest name of a key as text.
const maxKey = 4 * dnsname.MaxSize

func (d *decoder) record() Record {
	r := Record(d.take(d.number()))
	if !d.failed && !r.valid() {
		d.failed = true
	}
	if d.failed {
		return ""
	}
	return r
}

// soa reads an SOA record.
func (d *decoder) soa() Record {
	r := d.record()
	if !d.failed && (r.Type() != typeSOA || len(r) < minRecord+soaNumbers) {
		d.failed = true
		return ""
	}
	return r
}

const typeSOA = 6

// records reads a list. Its length is bounded by what is left of the entry, so that a number alone allocates nothing.
func (d *decoder) records() []Record {
	n := d.number()
	if n > uint64(len(d.rest)/minRecord) {
		d.failed = true
		return nil
	}
	var all []Record
	for range n {
		if all = append(all, d.record()); d.failed {
			return nil
		}
	}
	return all
}
