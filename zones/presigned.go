package zones

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// maxIterations is the largest number of NSEC3 iterations that is served: validators treat zones with more as unsigned,
// and each answer would cost too much (RFC 9276 3.2).
const maxIterations = 50

// Presigned is a zone with its signatures in its file. It is immutable.
type Presigned struct {
	Begins  time.Time // when the first of the signatures that expire then was made valid
	Expires time.Time // when the first signature expires
	Hashes  *Hashes   // by which it denies; nil: by its NSEC records
}

// Presigned returns what is known of a zone whose file has signatures; nil: it has none.
func (s *Data) Presigned(zone ZoneID) *Presigned {
	if s.presigned == nil {
		return nil
	}
	return s.presigned[zone]
}

// HasPresigned reports whether any zone's file has signatures.
func (s *Data) HasPresigned() bool { return s.presigned != nil }

// Signatures returns the RRSIG records of a node that cover a type.
func (s *Data) Signatures(node NodeID, covered uint16) func(yield func(rdata []byte) bool) {
	set, _ := s.RRset(node, dns.TypeRRSIG)
	return func(yield func([]byte) bool) {
		for rdata := range set.rdata {
			if binary.BigEndian.Uint16(rdata) == covered && !yield(rdata) {
				return
			}
		}
	}
}

// mayBePresigned reports whether records of signing in the file of a zone are served with what they sign.
func (c *compiler) mayBePresigned(z ZoneID) bool {
	zone := &c.cfg.Zones[z]
	return zone.DNSSEC != config.Unsigned && c.cfg.DNSSECPolicy(zone) == nil
}

// noteSignature records that a zone's file has an RRSIG record, and when it expires.
func (c *compiler) noteSignature(z ZoneID, rdata []byte, at place) {
	if c.s.presigned == nil {
		c.s.presigned = make([]*Presigned, len(c.s.zones))
		c.presignedAt = make([]place, len(c.s.zones))
	}
	p := c.s.presigned[z]
	if p == nil {
		p = new(Presigned)
		c.s.presigned[z], c.presignedAt[z] = p, at
	}
	if expires := signatureTime(rdata[8:]); p.Expires.IsZero() || expires.Before(p.Expires) {
		p.Begins, p.Expires = signatureTime(rdata[12:]), expires
		c.presignedAt[z] = at
	}
}

// signatureTime returns the time at the beginning of a part of an RRSIG record (RFC 4034 3.1).
func signatureTime(octets []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(octets)), 0).UTC()
}

// hashedNode returns the node of the owner of NSEC3 records. No lookup finds it: such names do not exist (RFC 5155 7.2.8).
func (c *compiler) hashedNode(owner dnsname.Wire, z ZoneID, at place) NodeID {
	if _, ok := hashOf(owner); !ok || len(owner.Parent()) != len(c.s.Apex(z)) {
		c.warnf(at, "", "NSEC3 of %q is ignored: the name is not a hash below the zone", owner)
		return 0
	}
	if c.hashed == nil {
		c.hashed = make(map[string]NodeID)
	}
	id, ok := c.hashed[string(owner)]
	if !ok {
		offset := uint32(len(c.s.names))
		c.s.names = append(c.s.names, owner...)
		id = c.bareNode(offset, len(owner), z, 0)
		c.s.nodes[id].flags |= isHashed
		c.hashed[string(owner)] = id
	}
	return id
}

// checkPresigned checks the presigned zones, and finds how each denies.
func (c *compiler) checkPresigned(now time.Time) {
	for i, p := range c.s.presigned {
		if z := ZoneID(i); p != nil && !c.hasErrors[z] {
			c.checkNoPools(z)
			c.warnFamily(z)
			c.checkDelegates(z)
			c.checkExpiry(z, p, now)
			p.Hashes = c.hashes(z)
			c.checkSigned(z, p.Hashes)
		}
	}
}

// warnFamily warns of a setting that has no effect without pools.
func (c *compiler) warnFamily(z ZoneID) {
	if zone := &c.cfg.Zones[z]; zone.FamilyPos != (config.Pos{}) {
		c.AddWarnings(c.cfg.ErrorAt(zone.FamilyPos, zone.Path()+".family", "no effect: the zone has signatures in its file, so it has no pools", "remove it"))
	}
}

func (c *compiler) has(id NodeID, typ uint16) bool {
	_, _, ok := c.setOf(id, typ)
	return ok
}

// checkNoPools rejects balanced names: Meridian has no key for what their pools answer.
func (c *compiler) checkNoPools(z ZoneID) {
	for i := range c.cfg.Zones[z].Whoami {
		w := &c.cfg.Zones[z].Whoami[i]
		c.nameErrorf(z, &config.BalancedName{Name: w.Name, Pos: w.Pos}, "put the name into another zone",
			"%q has whoami, and the zone has signatures in its file (%s): the answers could not be signed", w.Name, c.where(c.presignedAt[z]))
	}
	for i := range c.cfg.Zones[z].Names {
		b := &c.cfg.Zones[z].Names[i]
		c.nameErrorf(z, b, "have Meridian sign the zone (dnssec: POLICY), put the name into another zone, or write dnssec: none",
			"%q has a pool, and the zone has signatures in its file (%s): the addresses could not be signed", b.Name, c.where(c.presignedAt[z]))
	}
}

// checkExpiry warns of signatures that have expired, or have less than a quarter of their lifetime left.
func (c *compiler) checkExpiry(z ZoneID, p *Presigned, now time.Time) {
	if state := p.State(now); state != "" {
		c.warnf(c.presignedAt[z], "sign the zone again", "%s", state)
	}
}

// State says that a signature has expired or will soon, in less than a quarter of its lifetime; "" if neither is true.
func (p *Presigned) State(now time.Time) string {
	switch left := p.Expires.Sub(now); {
	case left <= 0:
		return "a signature of the zone has expired at " + p.Expires.Format(time.RFC3339) + ", and resolvers refuse it"
	case left < p.Expires.Sub(p.Begins)/4:
		return fmt.Sprintf("a signature of the zone expires at %s, in %s", p.Expires.Format(time.RFC3339), config.FormatDuration(left.Truncate(time.Second)))
	}
	return ""
}
