package transfer

import (
	"crypto/sha256"
	"encoding/binary"

	"meridian/dnsname"
	"meridian/transfer/journal"
	"meridian/zones"
)

// record returns a record of a set.
func record(set *zones.OwnedSet, data []byte) journal.Record {
	return journal.NewRecord(set.Owner, set.Type, set.TTL, data)
}

// SOA returns the SOA record of the zone.
func (c *Content) SOA() journal.Record {
	set := c.soa()
	for data := range set.RDATA() {
		return record(&set, data)
	}
	return "" // never: a zone has one
}

// adder adds the hashes of records.
type adder struct {
	digest journal.Digest
	octets int
	buf    []byte
}

// add adds the records of a set, and returns the sum of their hashes: sets with the same sum have the same records.
func (a *adder) add(set *zones.OwnedSet) (of journal.Digest) {
	for rest := set.Data; len(rest) > 0; { // set.RDATA would allocate for each set
		end := 2 + int(binary.BigEndian.Uint16(rest))
		hash := a.hash(set.Owner, set.Type, set.TTL, rest[2:end])
		rest = rest[end:]
		for i := range of {
			of[i] += hash[i]
		}
		a.octets += len(a.buf)
	}
	for i := range of {
		a.digest[i] += of[i]
	}
	return of
}

// hash returns the hash of a record.
func (a *adder) hash(owner dnsname.Wire, typ uint16, ttl uint32, data []byte) (digest journal.Digest) {
	a.buf = append(a.buf[:0], owner...)
	a.buf = binary.BigEndian.AppendUint16(a.buf, typ)
	a.buf = binary.BigEndian.AppendUint32(a.buf, ttl)
	a.buf = append(a.buf, data...)
	hash := sha256.Sum256(a.buf)
	for i := range digest {
		digest[i] = binary.BigEndian.Uint64(hash[8*i:])
	}
	return digest
}

// SetDigest sets the digest of a change from that of the content before.
func SetDigest(c *journal.Change, before journal.Digest) {
	var a adder
	c.Digest = before
	for _, r := range append([]journal.Record{c.OldSOA.WithSerial(0)}, c.Deleted...) {
		for i, word := range a.hash(r.Owner(), r.Type(), r.TTL(), []byte(r.Data())) {
			c.Digest[i] -= word
		}
	}
	for _, r := range append([]journal.Record{c.NewSOA.WithSerial(0)}, c.Added...) {
		for i, word := range a.hash(r.Owner(), r.Type(), r.TTL(), []byte(r.Data())) {
			c.Digest[i] += word
		}
	}
}

// addSOA adds the SOA record without its serial. The digest of a zone that is signed for transfers differs from that of the same zone
// without signatures: secondaries have to take it again.
func (a *adder) addSOA(c *Content) {
	if c.toSign {
		a.digest[0]++
	}
	set := c.soa()
	set.Data = append([]byte(nil), set.Data...)
	clear(set.Data[len(set.Data)-20 : len(set.Data)-16])
	a.add(&set)
}

// Digest returns a hash of all records of the zone but its serial.
func (c *Content) Digest() journal.Digest {
	var a adder
	a.addSOA(c)
	for set := range c.sets {
		a.add(&set)
	}
	return a.digest
}

// size returns the octets of all records of the zone.
func (c *Content) size() int {
	var a adder
	a.addSOA(c)
	for set := range c.sets {
		a.add(&set)
	}
	return a.octets
}

// key is half of a hash: enough that two sets of one zone never share it.
type key [2]uint64

func keyOf(digest journal.Digest) key { return key(digest[:2]) }

// inOrder returns records in the order of the zone.
func (c *Content) inOrder(records map[journal.Record]bool) (all []journal.Record) {
	for set := range c.sets {
		if len(records) == 0 {
			break
		}
		for data := range set.RDATA() {
			if r := record(&set, data); records[r] {
				all = append(all, r)
				delete(records, r)
			}
		}
	}
	return all
}

func has(numbers map[key]uint32, k key) bool { _, ok := numbers[k]; return ok }

// compare returns the change from one content of a zone to another, the digest of the former, and the size of the latter. It
// holds a hash for each set of both, and the records of those that differ.
func compare(before, after *Content) (change *journal.Change, was journal.Digest, octets int) {
	var a, b, unused adder
	b.addSOA(before)
	numbers := map[key]uint32{} // the sets of before
	for set := range before.sets {
		if k := keyOf(b.add(&set)); !has(numbers, k) {
			numbers[k] = uint32(len(numbers))
		}
	}
	same := make([]bool, len(numbers))
	added := map[journal.Record]bool{}
	a.addSOA(after)
	for set := range after.sets {
		if n, ok := numbers[keyOf(a.add(&set))]; ok {
			same[n] = true
			continue
		}
		for data := range set.RDATA() {
			added[record(&set, data)] = true
		}
	}
	change = &journal.Change{OldSOA: before.SOA(), NewSOA: after.SOA()}
	for set := range before.sets {
		if same[numbers[keyOf(unused.add(&set))]] {
			continue
		}
		for data := range set.RDATA() {
			r := record(&set, data)
			if added[r] {
				delete(added, r)
			} else {
				change.Deleted = append(change.Deleted, r)
			}
		}
	}
	change.Added = after.inOrder(added)
	change.Digest = a.digest
	return change, b.digest, a.octets
}
