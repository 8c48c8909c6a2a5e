package zones

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
)

// Missing is why a zone has no data.
type Missing uint8

// The reasons. The zero value means that the zone has data.
const (
	NotReady Missing = 1 + iota // no primary has sent the zone yet
	Expired                     // no primary has confirmed it for the time in its SOA record
)

// Missing returns why a zone has no data; 0: it has.
func (s *Data) Missing(zone ZoneID) Missing { return s.zones[zone].missing }

// CopyOf returns the copy that a zone is served from; nil: it is none, or has no data.
func (s *Data) CopyOf(zone ZoneID) *Copy {
	if s.copies == nil {
		return nil
	}
	return s.copies[zone]
}

// copied reports whether the records of a zone come from a primary.
func (c *compiler) copied(z ZoneID) bool { return len(c.cfg.Zones[z].Primaries) > 0 }

// addCopy adds the records of a copy. Without one, or with one that has expired, the zone has no data, and all its names
// are Unavailable. The balanced names are there already:
//
//	at a balanced name the copy has                             outcome
//	A, AAAA, CNAME, or a type that the pool answers             ignored, with a warning
//	any type, and the pool may answer a CNAME                   ignored, with a warning
//	a delegation                                                ignored, with a warning
//	other types                                                 served
//	a delegation or a DNAME above it                            served; the balanced name is never answered, with a warning
func (c *compiler) addCopy(z ZoneID, copied *Copy, now time.Time) {
	at := &c.s.zones[z]
	switch {
	case copied == nil:
		at.missing = NotReady
	case copied.Expired(now):
		at.missing = Expired
	}
	if at.missing != 0 {
		c.s.nodes[at.apex].cover = at.apex
		return
	}
	if c.s.copies == nil {
		c.s.copies = make([]*Copy, len(c.s.zones))
	}
	c.s.copies[z] = copied
	faults := len(c.errs)
	origin := c.origin(config.Error{File: fmt.Sprintf("zone %s of %s", strings.TrimSuffix(string(copied.Zone), "."), copied.Primary)})
	number := uint32(0)
	for r := range copied.Records {
		number++
		c.addCopied(z, r, place{origin, number})
	}
	c.hasErrors[z] = len(c.errs) > faults
}

// addCopied adds a record of a copy.
func (c *compiler) addCopied(z ZoneID, r Record, at place) {
	if id := c.s.find(r.Owner().Folded()); id != 0 && c.s.nodes[id].zone == z && c.replaces(id, r.Type()) {
		c.warnf(at, "remove one of the two", "%s of %s is ignored: the name is bound to pool %q", typeName(r.Type()), c.quoted(id), c.balancedName(id).Pool)
		return
	}
	rr, _, err := dns.UnpackRR(r.Whole, 0)
	if err != nil {
		c.errorf(at, "", "%s of %q does not unpack: %s", typeName(r.Type()), r.Owner(), plainError(err))
		return
	}
	c.add(z, rr, at)
}

// replaces reports whether the pool of a node replaces records of a type.
func (c *compiler) replaces(id NodeID, typ uint16) bool {
	n := &c.s.nodes[id]
	if !n.flags.has(isBalanced) {
		return false
	}
	b := &c.s.bindings[n.extra]
	switch {
	case typ == dns.TypeA || typ == dns.TypeAAAA || typ == dns.TypeCNAME:
		return true
	case typ == dns.TypeNS:
		return !n.flags.has(isApex)
	case typ == dns.TypeHTTPS && b.HTTPS.Exists():
		return true
	}
	return b.CName != NoCName && !n.flags.has(isApex) || b.Gives(typ)
}

// warnCovered warns of a balanced name that the copy delegates, or redirects by a DNAME, at a name above it.
func (c *compiler) warnCovered(id NodeID) {
	n := &c.s.nodes[id]
	b, cover := c.balancedName(id), &c.s.nodes[n.cover]
	what := "the DNAME"
	if cover.flags.has(isCut) {
		what = "the delegation"
	}
	zone := &c.cfg.Zones[n.zone]
	path := zone.Path() + ".names." + relative(b.Name, zone.Name)
	c.AddWarnings(c.cfg.ErrorAt(b.Pos, path, fmt.Sprintf("%q is never answered: it is below %s of %s, which the primary has", b.Name, what, c.quoted(n.cover)),
		"remove the name here, or "+what+" at the primary"))
}

// SameCopies reports whether the zones are served from these copies, all of which are current.
func (s *Data) SameCopies(copies Copies, now time.Time) bool {
	for i := range s.config.Zones {
		z := &s.config.Zones[i]
		if len(z.Primaries) == 0 {
			continue
		}
		want := copies[z.Name]
		if want != nil && want.Expired(now) {
			want = nil
		}
		if s.CopyOf(ZoneID(i)) != want && (want == nil || s.CopyOf(ZoneID(i)) == nil || !bytes.Equal(want.records, s.CopyOf(ZoneID(i)).records)) {
			return false
		}
	}
	return true
}
