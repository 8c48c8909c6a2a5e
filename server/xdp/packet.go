package xdp

import (
	"encoding/binary"
	"net/netip"
)

const (
	ethernetSize = 14
	ipv4Size     = 20
	ipv6Size     = 40
	udpSize      = 8

	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd

	protocolUDP = 17
	hopLimit    = 64
	dontFrag    = 0x4000 // the flag of IPv4
	moreOrLater = 0x3fff // of IPv4: more fragments follow, or it is not the first one
)

// Packet is a UDP packet in an Ethernet frame. Its memory is that of the frame.
type Packet struct {
	Source, Destination netip.AddrPort
	Payload             []byte

	headers []byte // the frame up to Payload
	v4      bool
}

// Verdict says what is wrong with a frame.
type Verdict int

const (
	Valid Verdict = iota
	// Malformed: lengths or fields do not fit, or the source is no address of one host.
	Malformed
	// BadChecksum: the checksum of the IP header or of UDP is wrong (RFC 791, RFC 768), or UDP over IPv6 has none.
	BadChecksum
)

// Parse reads the frame of a UDP packet into p: Ethernet without a VLAN tag, IPv4 without options or IPv6 without
// extension headers, no fragment. partial accepts a UDP checksum that only covers the addresses and the length, as packets have that
// another program on this host has sent through a virtual link: hardware would complete it.
func (p *Packet) Parse(frame []byte, partial bool) Verdict {
	if len(frame) < ethernetSize {
		return Malformed
	}
	const ip = ethernetSize
	var udp int
	kind := binary.BigEndian.Uint16(frame[12:])
	switch {
	case kind == typeIPv4 && len(frame) >= ip+ipv4Size+udpSize:
		udp = ip + ipv4Size
	case kind == typeIPv6 && len(frame) >= ip+ipv6Size+udpSize:
		udp = ip + ipv6Size
	default:
		return Malformed
	}
	p.v4 = kind == typeIPv4
	p.headers = frame[:udp+udpSize]
	length, verdict := p.readIP(frame[ip:udp], len(frame)-ip)
	if verdict != Valid {
		return verdict
	}
	size := int(binary.BigEndian.Uint16(frame[udp+4:]))
	if size < udpSize || size > length {
		return Malformed
	}
	p.Payload = frame[udp+udpSize : udp+size]
	return p.checkUDP(frame[udp:udp+size], partial)
}

// readIP reads the addresses in an IP header, and returns the length of what follows it. size is that of the frame from
// the header on.
func (p *Packet) readIP(header []byte, size int) (length int, v Verdict) {
	var from, to netip.Addr
	if p.v4 {
		length = int(binary.BigEndian.Uint16(header[2:]))
		if header[0] != 0x45 || header[9] != protocolUDP || binary.BigEndian.Uint16(header[6:])&moreOrLater != 0 || length > size {
			return 0, Malformed
		}
		if fold(sum(header, 0)) != 0xffff {
			return 0, BadChecksum
		}
		length -= ipv4Size
		from, to = netip.AddrFrom4([4]byte(header[12:])), netip.AddrFrom4([4]byte(header[16:]))
	} else {
		length = int(binary.BigEndian.Uint16(header[4:]))
		if header[0]>>4 != 6 || header[6] != protocolUDP || length > size-ipv6Size {
			return 0, Malformed
		}
		from, to = netip.AddrFrom16([16]byte(header[8:])), netip.AddrFrom16([16]byte(header[24:]))
	}
	p.Source = netip.AddrPortFrom(from, binary.BigEndian.Uint16(p.headers[len(p.headers)-udpSize:]))
	p.Destination = netip.AddrPortFrom(to, binary.BigEndian.Uint16(p.headers[len(p.headers)-udpSize+2:]))
	if !isHost(from) {
		return 0, Malformed
	}
	return length, Valid
}

// isHost reports whether an address can be that of another host: the kernel drops packets from all others.
func isHost(a netip.Addr) bool {
	if a.Is4() && a.As4()[0] == 0 {
		return false // 0.0.0.0/8 is "this network" (RFC 1122 3.2.1.3)
	}
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// checkUDP checks the checksum of a UDP packet.
func (p *Packet) checkUDP(packet []byte, partial bool) Verdict {
	checksum := binary.BigEndian.Uint16(packet[6:])
	if checksum == 0 {
		if p.v4 {
			return Valid // the sender made none
		}
		return BadChecksum // RFC 8200 8.1
	}
	pseudo := p.pseudoSum(len(packet))
	if fold(sum(packet, pseudo)) == 0xffff || partial && checksum == fold(pseudo) {
		return Valid
	}
	return BadChecksum
}

// pseudoSum returns the sum of the pseudo header of a UDP packet of this size (RFC 768, RFC 8200 8.1).
func (p *Packet) pseudoSum(size int) uint64 {
	addresses := p.headers[ethernetSize+12 : ethernetSize+20]
	if !p.v4 {
		addresses = p.headers[ethernetSize+8 : ethernetSize+40]
	}
	return sum(addresses, protocolUDP+uint64(size))
}

// Reply writes the headers of a reply to p in front of its payload. frame begins with room for them, which is
// [Packet.HeaderSize], and ends with the payload. The reply goes to the link address that p came from. frame may not be
// the memory of p.
func (p *Packet) Reply(frame []byte) {
	h := p.headers
	copy(frame, h)
	copy(frame[:6], h[6:12])
	copy(frame[6:12], h[:6])
	udp := frame[len(h)-udpSize:]
	size := len(udp)
	ip := frame[ethernetSize:]
	if p.v4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Size+size))
		binary.BigEndian.PutUint32(ip[4:], dontFrag) // and no identification (RFC 6864 4.1)
		ip[1], ip[8], ip[10], ip[11] = 0, hopLimit, 0, 0
		copy(ip[12:16], h[ethernetSize+16:])
		copy(ip[16:20], h[ethernetSize+12:])
		binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:ipv4Size], 0)))
	} else {
		binary.BigEndian.PutUint32(ip, 6<<28)
		binary.BigEndian.PutUint16(ip[4:], uint16(size))
		ip[7] = hopLimit
		copy(ip[8:24], h[ethernetSize+24:])
		copy(ip[24:40], h[ethernetSize+8:])
	}
	copy(udp[:2], h[len(h)-udpSize+2:])
	copy(udp[2:4], h[len(h)-udpSize:])
	binary.BigEndian.PutUint16(udp[4:], uint16(size))
	udp[6], udp[7] = 0, 0
	checksum := ^fold(sum(udp, p.pseudoSum(size))) // the addresses count in any order
	if checksum == 0 {
		checksum = 0xffff // 0 means none
	}
	binary.BigEndian.PutUint16(udp[6:], checksum)
}

// HeaderSize returns the size of the headers of p and of a reply to it.
func (p *Packet) HeaderSize() int { return len(p.headers) }

// room returns how large the payload of a reply can be on a link with this MTU.
func (p *Packet) room(mtu int) int { return mtu - (len(p.headers) - ethernetSize) }

// sum adds b to s as numbers of 16 bits in network order (RFC 1071), which fold reduces.
func sum(b []byte, s uint64) uint64 {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		s += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold reduces a sum to 16 bits in ones' complement.
func fold(s uint64) uint16 {
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
