package dnssec

import (
	"slices"

	"meridian/dnsname"
)

// AppendNSEC appends the RDATA of an NSEC record with its length. types need not be sorted or distinct; it sorts them.
func AppendNSEC(dst []byte, next dnsname.Wire, types []uint16) []byte {
	begin := len(dst)
	dst = append(dst, 0, 0)
	dst = append(dst, next...)
	dst = appendBitmap(dst, types)
	size := len(dst) - begin - 2
	dst[begin], dst[begin+1] = byte(size>>8), byte(size)
	return dst
}

// appendBitmap appends a type bitmap (RFC 4034 4.1.2): for each block of 256 types with a member, its number, the
// length of the bitmap and the bitmap.
func appendBitmap(dst []byte, types []uint16) []byte {
	slices.Sort(types)
	for len(types) > 0 {
		window := types[0] >> 8
		begin := len(dst)
		dst = append(dst, byte(window), 0)
		for len(types) > 0 && types[0]>>8 == window {
			at := begin + 2 + int(types[0]&0xff)/8
			for len(dst) <= at {
				dst = append(dst, 0)
			}
			dst[at] |= 0x80 >> (types[0] & 7)
			types = types[1:]
		}
		dst[begin+1] = byte(len(dst) - begin - 2)
	}
	return dst
}

// AppendNameError appends the types of a name that does not exist: those of its NSEC record, and NXNAME (RFC 9824 2).
func AppendNameError(types []uint16) []uint16 {
	return append(types, typeRRSIG, typeNSEC, typeNXNAME)
}

// AppendSigned appends the types that each name of a signed zone has.
func AppendSigned(types []uint16) []uint16 { return append(types, typeRRSIG, typeNSEC) }

// AppendSuccessor appends the name that follows name in canonical order (RFC 4471 3.1.1): its smallest possible
// descendant, or if it is too long for one, AppendSibling.
func AppendSuccessor(dst []byte, name, apex dnsname.Wire) []byte {
	if len(name)+2 <= dnsname.MaxSize {
		dst = append(dst, 1, 0)
		return append(dst, name...)
	}
	return AppendSibling(dst, name, apex)
}

// AppendSibling appends the first name in canonical order that is behind name and not below it (RFC 4471 3.1.2): for a
// zone cut, names below it are those of another zone. If there is none in the zone, it is the apex.
func AppendSibling(dst []byte, name, apex dnsname.Wire) []byte {
	for len(name) > len(apex) {
		size := int(name[0])
		label, rest := name[1:1+size], name[1+size:]
		if size < dnsname.MaxLabel && len(name) < dnsname.MaxSize {
			dst = append(dst, byte(size+1))
			dst = append(dst, label...)
			return append(append(dst, 0), rest...)
		}
		for n := size; n > 0; n-- {
			if label[n-1] == 0xff {
				continue
			}
			dst = append(dst, byte(n))
			dst = append(dst, label[:n]...)
			dst[len(dst)-1] = nextOctet(label[n-1])
			return append(dst, rest...)
		}
		name = rest
	}
	return append(dst, apex...)
}

// nextOctet returns the octet after c in canonical order, in which there are no capital letters.
func nextOctet(c byte) byte {
	if c++; c == 'A' {
		return 'Z' + 1
	}
	return c
}
