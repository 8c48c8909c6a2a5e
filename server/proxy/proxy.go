// Package proxy reads the headers of the PROXY protocol, version 2, by which a load balancer in front of the server says which
// client a connection or a UDP packet is from.
package proxy

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
)

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	// version1 is how a header of version 1 begins.
	version1 = "PROXY "
	// fixed is the size of a header before its addresses: the signature, command, family and length.
	fixed = len(signature) + 4
	// maxHeader is the largest accepted header, with the fields (TLV) after its addresses.
	maxHeader = 1024
)

// The command and the version in the first octet after the signature.
const (
	commandLocal = 0x20
	commandProxy = 0x21
)

// The families in the high half of the second octet; the low half is the protocol, which does not matter here.
const (
	familyIPv4 = 1
	familyIPv6 = 2
	familyUnix = 3
)

// The sizes of the addresses of both ends, with ports.
const (
	sizeIPv4 = 2*4 + 2*2
	sizeIPv6 = 2*16 + 2*2
)

// The errors of headers.
var (
	ErrMissing   = errors.New("no PROXY header")
	ErrVersion1  = errors.New("a PROXY header of version 1")
	ErrMalformed = errors.New("a malformed PROXY header")
)

// Starts reports whether data begins like a header of version 2. No DNS message does that a client would send: its opcode
// would be 1, which is obsolete, with a TC bit.
func Starts(data []byte) bool {
	return len(data) >= len(signature) && string(data[:len(signature)]) == signature
}

// MayStart reports whether data, which may be cut off, begins like a header of version 2.
func MayStart(data []byte) bool {
	n := min(len(data), len(signature))
	return n > 0 && string(data[:n]) == signature[:n]
}

// Parse reads the header at the beginning of data and returns its size. The client is invalid if the sender of the
// connection or the packet is the client itself (LOCAL), or its address is not known. Parse does not allocate.
func Parse(data []byte) (client netip.AddrPort, size int, err error) {
	switch {
	case Starts(data):
	case len(data) >= len(version1) && string(data[:len(version1)]) == version1:
		return client, 0, ErrVersion1
	default:
		return client, 0, ErrMissing
	}
	if len(data) < fixed {
		return client, 0, ErrMalformed
	}
	size = fixed + int(binary.BigEndian.Uint16(data[fixed-2:]))
	if size > maxHeader || size > len(data) {
		return client, 0, ErrMalformed
	}
	addresses := data[fixed:size]
	switch data[len(signature)] {
	case commandLocal:
		return client, size, nil
	case commandProxy:
		client, ok := clientOf(data[len(signature)+1]>>4, addresses)
		if !ok {
			return client, 0, ErrMalformed
		}
		return client, size, nil
	}
	return client, 0, ErrMalformed
}

// clientOf returns the source of a header; invalid: it is not known. ok is false if the addresses are too short, or the
// family is unknown.
func clientOf(family byte, addresses []byte) (client netip.AddrPort, ok bool) {
	switch {
	case family == 0 || family == familyUnix:
		return client, true
	case family == familyIPv4 && len(addresses) >= sizeIPv4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses)), binary.BigEndian.Uint16(addresses[8:])), true
	case family == familyIPv6 && len(addresses) >= sizeIPv6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses)).Unmap(), binary.BigEndian.Uint16(addresses[32:])), true
	}
	return client, false
}

// Read reads the header at the beginning of a connection, and nothing after it.
func Read(r io.Reader) (client netip.AddrPort, err error) {
	header := make([]byte, fixed, 256)
	if _, err := io.ReadFull(r, header); err != nil {
		return client, err
	}
	if size := fixed + int(binary.BigEndian.Uint16(header[fixed-2:])); Starts(header) && size > fixed && size <= maxHeader {
		header = append(header, make([]byte, size-fixed)...)
		if _, err := io.ReadFull(r, header[fixed:]); err != nil {
			return client, err
		}
	}
	client, _, err = Parse(header)
	return client, err
}
