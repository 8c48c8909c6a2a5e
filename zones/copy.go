package zones

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// Copy is the content of a zone that another server has sent. It is immutable, except Confirmed, which the goroutine that
// keeps the copy sets before it shares it.
type Copy struct {
	Zone      dnsname.Name
	Primary   string    // the address of the server that sent it
	Confirmed time.Time // when a primary last confirmed that it is current
	SOA       CopySOA

	records []byte // whole records in wire form, without compression; the SOA is the first
	count   int
}

// CopySOA holds the numbers of the SOA record of a copy.
type CopySOA struct {
	Serial                          uint32
	Refresh, Retry, Expire, Minimum uint32 // in seconds
}

// Copies holds the copies of the zones of a configuration that have primaries.
type Copies map[dnsname.Name]*Copy

// Record is a record in wire form. It is valid while its copy is.
type Record struct {
	Whole []byte // owner, type, class, TTL, RDLENGTH and RDATA
	fixed int    // the length of the owner
}

// Owner returns the owner name, as the primary spells it.
func (r Record) Owner() dnsname.Wire { return r.Whole[:r.fixed] }

// Type returns the type.
func (r Record) Type() uint16 { return binary.BigEndian.Uint16(r.Whole[r.fixed:]) }

// TTL returns the TTL in seconds.
func (r Record) TTL() uint32 { return binary.BigEndian.Uint32(r.Whole[r.fixed+4:]) }

// RDATA returns the data.
func (r Record) RDATA() []byte { return r.Whole[r.fixed+recordFixed:] }

// recordFixed is the size of type, class, TTL and RDLENGTH.
const recordFixed = 10

// Count returns the number of records.
func (c *Copy) Count() int { return c.count }

// Size returns the size of all records in octets.
func (c *Copy) Size() int { return len(c.records) }

// Records yields the records, the SOA first.
func (c *Copy) Records(yield func(Record) bool) {
	for rest := c.records; len(rest) > 0; {
		r, size := cutRecord(rest)
		if !yield(r) {
			return
		}
		rest = rest[size:]
	}
}

// cutRecord returns the first record of valid ones, and its size.
func cutRecord(records []byte) (r Record, size int) {
	at := 0
	for records[at] != 0 {
		at += 1 + int(records[at])
	}
	at++
	size = at + recordFixed + int(binary.BigEndian.Uint16(records[at+8:]))
	return Record{records[:size:size], at}, size
}

// ExpiresAt returns when the copy must no longer be served, unless a primary confirms it before.
func (c *Copy) ExpiresAt() time.Time {
	return c.Confirmed.Add(time.Duration(c.SOA.Expire) * time.Second)
}

// Expired reports whether no primary has confirmed the copy for too long.
func (c *Copy) Expired(now time.Time) bool { return !now.Before(c.ExpiresAt()) }

// CopyBuilder collects the records of a copy. Its zero value is empty.
type CopyBuilder struct {
	records []byte
	count   int
	buf     []byte
}

// Size returns the size of the records so far, in octets.
func (b *CopyBuilder) Size() int { return len(b.records) }

// Count returns the number of records so far.
func (b *CopyBuilder) Count() int { return b.count }

// Pack returns a record in wire form, without compression. It is valid until the next call.
func (b *CopyBuilder) Pack(rr dns.RR) (Record, error) {
	if b.buf == nil {
		b.buf = make([]byte, maxPacked)
	}
	end, err := dns.PackRR(rr, b.buf, 0, nil, false)
	if err != nil {
		return Record{}, plainError(err)
	}
	r, _ := cutRecord(b.buf[:end])
	return r, nil
}

// Add appends a record.
func (b *CopyBuilder) Add(r Record) { b.AddWhole(r.Whole) }

// AddWhole appends a record in wire form, which is valid.
func (b *CopyBuilder) AddWhole(whole []byte) {
	b.records = append(b.records, whole...)
	b.count++
}

// Copy returns the copy of the records so far, of which the first is the SOA of the zone.
func (b *CopyBuilder) Copy(zone dnsname.Name, primary string, now time.Time) (*Copy, error) {
	if len(b.records) == 0 {
		return nil, fmt.Errorf("zone %s has no record", zone)
	}
	first, _ := cutRecord(b.records)
	data := first.RDATA()
	if first.Type() != dns.TypeSOA || len(data) < soaNumbers {
		return nil, fmt.Errorf("zone %s does not begin with its SOA record", zone)
	}
	return &Copy{Zone: zone, Primary: primary, Confirmed: now, SOA: soaOf(data), records: b.records, count: b.count}, nil
}

// soaNumbers is the size of the five numbers that end the data of an SOA record (RFC 1035 3.3.13).
const soaNumbers = 20

func soaOf(data []byte) CopySOA {
	n := data[len(data)-soaNumbers:]
	number := func(i int) uint32 { return binary.BigEndian.Uint32(n[4*i:]) }
	return CopySOA{Serial: number(0), Refresh: number(1), Retry: number(2), Expire: number(3), Minimum: number(4)}
}
