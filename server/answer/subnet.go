package answer

import (
	"encoding/binary"
	"net/netip"
)

// The address families of a client-subnet option (RFC 7871 6).
const (
	familyNone = 0 // with source prefix 0 only
	familyIPv4 = 1
	familyIPv6 = 2
)

// subnetFixed is the size of a client-subnet option before its address.
const subnetFixed = 4

// clientSubnet is an EDNS Client Subnet option as a query carries it.
type clientSubnet struct {
	present bool
	source  uint8      // length of the source prefix
	addr    netip.Addr // invalid for familyNone
	raw     []byte     // family, source, scope and address, as sent: they are echoed bit for bit
}

// parse reads the option's data. It refuses what RFC 7871 7.1.2 calls malformed:
// a family or prefix length that does not exist, a scope in a query, an address
// of another length than the prefix needs, bits set behind the prefix.
func (c *clientSubnet) parse(data []byte) bool {
	if len(data) < subnetFixed || data[3] != 0 {
		return false
	}
	family, source, address := binary.BigEndian.Uint16(data), int(data[2]), data[subnetFixed:]
	c.present, c.source, c.raw = true, uint8(source), data
	if len(address) != (source+7)/8 {
		return false
	}
	if source%8 != 0 && address[len(address)-1]<<(source%8) != 0 {
		return false
	}
	switch {
	case family == familyNone:
		return source == 0
	case family == familyIPv4 && source <= 32:
		var a [4]byte
		copy(a[:], address)
		c.addr = netip.AddrFrom4(a)
		return true
	case family == familyIPv6 && source <= 128:
		var a [16]byte
		copy(a[:], address)
		c.addr = netip.AddrFrom16(a)
		return true
	}
	return false
}

// beginSubnet counts the client subnet of the query. It removes one from a source that is not in ecs_from, as if the
// query had none: an answer that does not use the option does not carry it (RFC 7871 7.2.1).
func (r *Responder) beginSubnet(source netip.Addr) {
	s, e := r.at.active, &r.query.edns
	r.counts.add(uint32(clientSubnets))
	e.echo = s.config.ECS
	if s.ecsFrom != nil && !s.ecsFrom.Contains(source) {
		r.counts.add(uint32(subnetsIgnored))
		e.subnet = clientSubnet{}
	}
}

// append appends the option as an answer carries it, with its scope.
func (c *clientSubnet) append(out []byte, scope uint8) []byte {
	out = append(out, 0, optionSubnet, 0, uint8(len(c.raw)))
	out = append(out, c.raw...)
	out[len(out)-len(c.raw)+3] = scope
	return out
}
