package secondary

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// maxRecords is the largest number of records of a zone, as in a master file.
const maxRecords = 1 << 24

// phase is the part of a transfer that is expected next:
//
//	phase     a record is                          then
//	first     the SOA                              second
//	second    the SOA of our serial                deleting (an incremental transfer)
//	          the same SOA                         ended (a zone with nothing else)
//	          any other                            whole
//	whole     the same SOA                         ended
//	          any other but an SOA                 whole
//	deleting  an SOA of a later serial             adding
//	          any other                            deleting
//	adding    the first SOA, and we are there      ended
//	          the SOA of the serial that we are at deleting
//	          any other                            adding
//	ended     none
type phase uint8

const (
	first phase = iota
	second
	whole
	deleting
	adding
	ended
)

// content collects the records of a transfer, whole or incremental (RFC 5936 2.2, RFC 1995 4).
type content struct {
	zone dnsname.Name
	apex dnsname.Wire
	have *zones.Copy // of an incremental transfer; nil: a whole one was asked for
	most int         // octets

	phase  phase
	soa    []byte // the first record
	serial uint32
	at     uint32 // the serial that the changes so far lead to
	built  zones.CopyBuilder
	packer zones.CopyBuilder // packs records
	change change
}

// add takes the next record.
func (c *content) add(rr dns.RR) error {
	r, err := c.packer.Pack(rr)
	if err != nil {
		return fmt.Errorf("it sent a record that does not pack: %w", err)
	}
	if err := c.allowed(rr, r); err != nil {
		return err
	}
	if soa, ok := rr.(*dns.SOA); ok {
		return c.addSOA(soa.Serial, r)
	}
	switch c.phase {
	case first:
		return errors.New("the transfer does not begin with the SOA record")
	case second:
		c.phase = whole
		c.built.Add(r)
	case whole:
		c.built.Add(r)
	case deleting:
		return c.change.delete(r)
	case adding:
		return c.change.add(r)
	case ended:
		return errors.New("it sent records after the end of the transfer")
	}
	return nil
}

// allowed checks what every record of a zone has to be, and the limits.
func (c *content) allowed(rr dns.RR, r zones.Record) error {
	h := rr.Header()
	switch {
	case h.Class != dns.ClassINET:
		return fmt.Errorf("it sent %s of %s in class %s", dns.Type(h.Rrtype), h.Name, dns.Class(h.Class))
	case !within(r.Owner().Folded(), c.apex):
		return fmt.Errorf("it sent %s of %s, which is outside the zone", dns.Type(h.Rrtype), h.Name)
	case h.Rrtype == dns.TypeSOA && !isApex(r.Owner(), c.apex):
		return fmt.Errorf("it sent an SOA record of %s, which is not the zone", h.Name)
	case c.built.Size()+c.change.size+len(r.Whole) > c.most:
		return fmt.Errorf("the zone is larger than max_size, %d octets", c.most)
	case c.built.Count()+c.change.count >= maxRecords:
		return fmt.Errorf("the zone has more than %d records", maxRecords)
	}
	return nil
}

// within reports whether a name is in a zone, both in lower case.
func within(name, apex dnsname.Wire) bool {
	for len(name) > len(apex) {
		name = name.Parent()
	}
	return bytes.Equal(name, apex)
}

// addSOA takes an SOA record of the zone.
func (c *content) addSOA(serial uint32, r zones.Record) error {
	switch c.phase {
	case first:
		c.phase, c.serial, c.soa = second, serial, bytes.Clone(r.Whole)
		c.built.Add(r)
		return nil
	case second:
		if c.have != nil && serial == c.have.SOA.Serial && serial != c.serial {
			c.phase, c.at, c.change.used = deleting, serial, true
			return nil
		}
	case deleting:
		return c.endDeleting(serial)
	case adding:
		return c.endAdding(serial)
	}
	if c.phase == ended || serial != c.serial || !bytes.Equal(c.soa, r.Whole) {
		return fmt.Errorf("it sent an SOA record with serial %d in the middle of the transfer of serial %d", serial, c.serial)
	}
	c.phase = ended
	return nil
}

// endDeleting takes the SOA record after the records that a change deletes.
func (c *content) endDeleting(serial uint32) error {
	if !newer(serial, c.at) || newer(serial, c.serial) {
		return fmt.Errorf("an incremental transfer to serial %d leads from %d to %d", c.serial, c.at, serial)
	}
	c.phase, c.at = adding, serial
	return nil
}

// endAdding takes the SOA record after the records that a change adds.
func (c *content) endAdding(serial uint32) error {
	switch {
	case serial != c.at:
		return fmt.Errorf("a change to serial %d of an incremental transfer is followed by one from %d", c.at, serial)
	case serial == c.serial:
		c.phase = ended
	default:
		c.phase = deleting
	}
	return nil
}

// endMessage ends a message. The answer to a question for changes may be the SOA record only: there are none.
func (c *content) endMessage() (unchanged bool) {
	return c.phase == second && c.have != nil && !newer(c.serial, c.have.SOA.Serial)
}

// newer reports whether a serial is later than another one (RFC 1982).
func newer(a, b uint32) bool { return int32(a-b) > 0 }

// copy returns the zone after the transfer.
func (c *content) copy(primary string, now time.Time) (*zones.Copy, error) {
	if c.change.used {
		if err := c.change.apply(c.have, &c.built); err != nil {
			return nil, err
		}
	}
	return c.built.Copy(c.zone, primary, now)
}
