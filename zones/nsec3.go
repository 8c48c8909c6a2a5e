package zones

import (
	"bytes"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// Hashes holds the NSEC3 records of a presigned zone in the order of their hashes, in a ring (RFC 5155). It is immutable.
type Hashes struct {
	iterations int
	salt       []byte
	order      []hashedName
}

// hash is a hashed owner name.
type hash [sha1.Size]byte

// hashedName is the owner of an NSEC3 record.
type hashedName struct {
	hash hash
	node NodeID
}

// nsec3SHA1 is the only hash algorithm of NSEC3 (RFC 5155 11).
const nsec3SHA1 = 1

// base32hex is the encoding of hashes in names, in lower case (RFC 5155 1.3).
var base32hex = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// hashOf returns the hash in the first label of a name in lower case.
func hashOf(owner dnsname.Wire) (h hash, ok bool) {
	const length = sha1.Size * 8 / 5
	if len(owner) <= length || owner[0] != length {
		return h, false
	}
	n, err := base32hex.Decode(h[:], owner[1:1+length])
	return h, err == nil && n == len(h)
}

// hashes collects the NSEC3 records of a presigned zone that its NSEC3PARAM record describes. It returns nil if there is
// no such record, or an error in it.
func (c *compiler) hashes(z ZoneID) *Hashes {
	apex := c.s.zones[z].apex
	set, at, ok := c.setOf(apex, dns.TypeNSEC3PARAM)
	if !ok {
		return nil
	}
	h := &Hashes{}
	for param := range c.s.rrset(&set).rdata { // algorithm, flags, iterations, salt length, salt
		h.iterations, h.salt = int(binary.BigEndian.Uint16(param[2:])), bytes.Clone(param[5:])
		if param[0] != nsec3SHA1 {
			c.errorf(at, "sign the zone with algorithm 1 (SHA-1)", "NSEC3PARAM of %s has the unknown hash algorithm %d", c.quoted(apex), param[0])
			return nil
		}
	}
	if h.iterations > maxIterations {
		c.errorf(at, "sign the zone with 0 iterations (RFC 9276)", "NSEC3PARAM of %s has %d iterations, more than %d", c.quoted(apex), h.iterations, maxIterations)
		return nil
	}
	for i := range c.s.nodes {
		if n := &c.s.nodes[i]; n.zone == z && n.flags.has(isHashed) && c.hasParameters(NodeID(i), h) {
			owner, _ := hashOf(c.s.NodeName(NodeID(i)))
			h.order = append(h.order, hashedName{owner, NodeID(i)})
		}
	}
	slices.SortFunc(h.order, func(a, b hashedName) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	return h
}

// hasParameters reports whether a node has an NSEC3 record with the parameters of h.
func (c *compiler) hasParameters(id NodeID, h *Hashes) bool {
	set, ok := c.s.RRset(id, dns.TypeNSEC3)
	if !ok {
		return false
	}
	for rdata := range set.rdata {
		if int(binary.BigEndian.Uint16(rdata[2:])) == h.iterations && bytes.Equal(rdata[5:5+int(rdata[4])], h.salt) {
			return true
		}
	}
	return false
}

// Match returns the node with the NSEC3 record that matches a name in lower case, or 0.
func (h *Hashes) Match(name dnsname.Wire) NodeID {
	if at, ok := h.search(name); ok {
		return h.order[at].node
	}
	return 0
}

// Cover returns the node with the NSEC3 record that covers a name in lower case, which has none itself.
func (h *Hashes) Cover(name dnsname.Wire) NodeID {
	at, _ := h.search(name)
	if len(h.order) == 0 {
		return 0
	}
	if at == 0 {
		at = len(h.order) // the last one covers what is before the first
	}
	return h.order[at-1].node
}

// search returns the index of a name's record, or of the next one.
func (h *Hashes) search(name dnsname.Wire) (at int, ok bool) {
	sought := h.of(name)
	return slices.BinarySearchFunc(h.order, sought, func(n hashedName, sought hash) int { return bytes.Compare(n.hash[:], sought[:]) })
}

// of hashes a name (RFC 5155 5).
func (h *Hashes) of(name dnsname.Wire) hash {
	var buf [dnsname.MaxSize + 255]byte
	n := copy(buf[:], name)
	n += copy(buf[n:], h.salt)
	sum := sha1.Sum(buf[:n])
	for range h.iterations {
		n = copy(buf[:], sum[:])
		n += copy(buf[n:], h.salt)
		sum = sha1.Sum(buf[:n])
	}
	return sum
}
