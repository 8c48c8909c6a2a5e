package secondary

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// change is what an incremental transfer does to a copy: all of its steps together.
type change struct {
	deleted map[string]bool   // of the copy
	added   map[string][]byte // whole records; those that a later step deletes are gone
	order   []string          // of added
	count   int
	size    int  // octets of all steps, which the largest size of a zone bounds
	used    bool // the transfer is incremental
}

// appendKey appends what makes a record equal to another one: all but its TTL.
func appendKey(dst []byte, r zones.Record) []byte {
	at := len(dst)
	dst = append(dst, r.Owner()...)
	dnsname.Wire(dst[at:]).Fold()
	return append(append(dst, byte(r.Type()>>8), byte(r.Type())), r.RDATA()...)
}

func (c *change) begin(r zones.Record) string {
	if c.deleted == nil {
		c.deleted, c.added = map[string]bool{}, map[string][]byte{}
	}
	c.size += len(r.Whole)
	c.count++
	return string(appendKey(nil, r))
}

// delete notes a record that a step deletes.
func (c *change) delete(r zones.Record) error {
	key := c.begin(r)
	if c.added[key] != nil {
		delete(c.added, key)
		return nil
	}
	if c.deleted[key] {
		return fmt.Errorf("an incremental transfer deletes %s of %s twice", dns.Type(r.Type()), r.Owner())
	}
	c.deleted[key] = true
	return nil
}

// add notes a record that a step adds.
func (c *change) add(r zones.Record) error {
	key := c.begin(r)
	if c.added[key] != nil {
		return fmt.Errorf("an incremental transfer adds %s of %s twice", dns.Type(r.Type()), r.Owner())
	}
	c.added[key] = bytes.Clone(r.Whole)
	c.order = append(c.order, key)
	return nil
}

// apply adds the records of a copy, changed, to those that to has: the new SOA record. A change that does not fit the copy is
// an error: the primary has another zone, or the copy is damaged.
func (c *change) apply(from *zones.Copy, to *zones.CopyBuilder) error {
	found, known, key := 0, false, []byte(nil)
	isSOA := true // the first record
	for r := range from.Records {
		if isSOA {
			isSOA = false
			continue
		}
		key = appendKey(key[:0], r)
		if c.deleted[string(key)] {
			found++
			continue
		}
		known = known || c.added[string(key)] != nil
		to.Add(r)
	}
	if found != len(c.deleted) || known {
		return errors.New("an incremental transfer does not fit the copy: it deletes records that the copy does not have, or adds some that it has")
	}
	for _, key := range c.order {
		if whole := c.added[key]; whole != nil {
			to.AddWhole(whole)
			delete(c.added, key) // it may be in the order twice
		}
	}
	return nil
}
