package journal

import (
	"encoding/binary"
	"maps"
	"slices"

	"meridian/dnsname"
)

// Overlay is what updates changed in a zone: its content is that of the file without the deleted records, and with the
// added ones. A record of the file that was deleted and added again is in both.
type Overlay struct {
	Deleted map[Record]Origin // with TTL 0: a file that has the record with another TTL has the same record
	Added   map[Record]Origin
	SOA     Record // its names and timers replace those of the file; empty: no update had any
}

// Empty reports whether updates changed nothing.
func (o *Overlay) Empty() bool { return len(o.Deleted) == 0 && len(o.Added) == 0 && o.SOA == "" }

// apply adds a change that is an update.
func (o *Overlay) apply(c *Change) {
	if o.Added == nil {
		o.Added, o.Deleted = map[Record]Origin{}, map[Record]Origin{}
	}
	for _, r := range c.Deleted {
		if _, ours := o.Added[r]; ours {
			delete(o.Added, r)
		} else {
			o.Deleted[r.WithTTL(0)] = *c.Update
		}
	}
	for _, r := range c.Added {
		o.Added[r] = *c.Update // a record in Deleted stays there: the file has it, and a later update may delete it again
	}
	if withoutSerial(c.OldSOA) != withoutSerial(c.NewSOA) {
		o.SOA = c.NewSOA
	}
}

// clone returns a copy.
func (o *Overlay) clone() Overlay {
	return Overlay{Deleted: maps.Clone(o.Deleted), Added: maps.Clone(o.Added), SOA: o.SOA}
}

// withoutSerial returns an SOA record without its serial.
func withoutSerial(soa Record) [2]Record {
	at := len(soa) - soaNumbers
	return [2]Record{soa[:at], soa[at+4:]}
}

// base is the entry that a file begins with: a serial, and what updates changed so far.
type base struct {
	zone    dnsname.Name
	serial  uint32
	digest  Digest
	overlay Overlay
	reused  *uint32 // as in Journal; it is at the end only if there is one
}

func (f *base) encode() []byte {
	b := []byte{kindBase}
	b = append(binary.AppendUvarint(b, uint64(len(f.zone))), f.zone...)
	b = binary.BigEndian.AppendUint32(b, f.serial)
	b = appendDigest(b, f.digest)
	b = appendRecord(b, f.overlay.SOA)
	for _, records := range [2]map[Record]Origin{f.overlay.Deleted, f.overlay.Added} {
		b = binary.AppendUvarint(b, uint64(len(records)))
		for _, r := range slices.Sorted(maps.Keys(records)) {
			origin := records[r]
			b = appendOrigin(appendRecord(b, r), &origin)
		}
	}
	if f.reused != nil {
		b = binary.BigEndian.AppendUint32(b, *f.reused)
	}
	return b
}

// decodeBase reads the first entry of a file.
func decodeBase(b []byte) (*base, error) {
	d := decoder{rest: b}
	if d.octet() != kindBase {
		return nil, errEntry
	}
	f := new(base)
	f.zone = dnsname.Name(d.take(d.number()))
	if serial := d.take(4); serial != nil {
		f.serial = binary.BigEndian.Uint32(serial)
	}
	f.digest = d.digest()
	if soa := d.take(d.number()); len(soa) > 0 {
		whole := decoder{rest: appendRecord(nil, Record(soa))}
		f.overlay.SOA = whole.soa()
		d.failed = d.failed || whole.failed
	}
	f.overlay.Deleted, f.overlay.Added = d.overlay(), d.overlay()
	if !d.failed && len(d.rest) > 0 {
		if serial := d.take(4); serial != nil {
			reused := binary.BigEndian.Uint32(serial)
			f.reused = &reused
		}
	}
	if d.failed || len(d.rest) > 0 {
		return nil, errEntry
	}
	return f, nil
}

// overlay reads records with their origins.
func (d *decoder) overlay() map[Record]Origin {
	all := map[Record]Origin{}
	for range d.number() {
		r := d.record()
		origin := d.origin()
		if origin == nil {
			d.failed = true
		}
		if d.failed {
			return nil
		}
		all[r] = *origin
	}
	return all
}
