package zones

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"meridian/dnsname"
	"meridian/errtext"
)

// rdataStrings encodes character strings (RFC 1035 3.3).
func rdataStrings(data []word) ([]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("the record has no data")
	}
	var rdata []byte
	for _, w := range data {
		text, err := unescape(w.text)
		switch {
		case err != nil:
			return nil, err
		case len(text) > 255:
			return nil, fmt.Errorf("%q is longer than 255 octets", errtext.Clip(w.text))
		}
		rdata = append(append(rdata, byte(len(text))), text...)
	}
	return rdata, nil
}

// unescape resolves \DDD and \X (RFC 1035 5.1).
func unescape(text string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		i++
		switch {
		case i == len(text):
			return nil, errors.New("it ends with a backslash")
		case text[i] < '0' || text[i] > '9':
			out = append(out, text[i])
		default:
			octet, err := strconv.ParseUint(text[i:min(i+3, len(text))], 10, 8)
			if err != nil || i+3 > len(text) {
				return nil, fmt.Errorf("%q is not an escaped octet; want three digits, at most 255", text[i-1:])
			}
			out = append(out, byte(octet))
			i += 2
		}
	}
	return out, nil
}

// rdataWKS encodes an address, a protocol and the ports of services (RFC 1035 3.4.2).
func rdataWKS(data []word) ([]byte, error) {
	if len(data) < 2 {
		return nil, errors.New("want ADDRESS PROTOCOL SERVICES")
	}
	addr, err := netip.ParseAddr(data[0].text)
	if err != nil || !addr.Is4() {
		return nil, fmt.Errorf("%q is not an IPv4 address", data[0].text)
	}
	protocol, network := uint64(0), strings.ToLower(data[1].text)
	switch network {
	case "tcp":
		protocol = 6
	case "udp":
		protocol = 17
	default:
		if protocol, err = strconv.ParseUint(network, 10, 8); err != nil {
			return nil, fmt.Errorf("%q is not a protocol; want tcp, udp or a number", data[1].text)
		}
		network = map[uint64]string{6: "tcp", 17: "udp"}[protocol]
	}
	ports, err := portBits(network, data[2:])
	return append(append(addr.AsSlice(), byte(protocol)), ports...), err
}

// portBits returns a bit map of ports, the lowest first.
func portBits(network string, services []word) ([]byte, error) {
	var bits []byte
	for _, w := range services {
		port, err := strconv.ParseUint(w.text, 10, 16)
		if err != nil {
			known, lookupErr := net.LookupPort(network, w.text)
			if lookupErr != nil || network == "" {
				return nil, fmt.Errorf("%q is not a service; want a port", w.text)
			}
			port = uint64(known)
		}
		if at := int(port / 8); at >= len(bits) {
			bits = append(bits, make([]byte, at+1-len(bits))...)
		}
		bits[port/8] |= 0x80 >> (port % 8)
	}
	return bits, nil
}

// rdataNSAP encodes an address of hexadecimal digits with dots between them (RFC 1706 5).
func rdataNSAP(data []word) ([]byte, error) {
	if len(data) == 1 && strings.HasPrefix(strings.ToLower(data[0].text), "0x") {
		address, err := hex.DecodeString(strings.ReplaceAll(data[0].text[2:], ".", ""))
		if err == nil && len(address) > 0 {
			return address, nil
		}
	}
	return nil, errors.New("want 0x and pairs of hexadecimal digits")
}

// rdataATMA encodes an ATM address: + and decimal digits, or hexadecimal digits.
func rdataATMA(data []word) ([]byte, error) {
	if len(data) == 1 {
		text := strings.ReplaceAll(data[0].text, ".", "")
		if number, ok := strings.CutPrefix(text, "+"); ok && number != "" && strings.Trim(number, "0123456789") == "" {
			return append([]byte{1}, number...), nil
		}
		if address, err := hex.DecodeString(text); err == nil && len(address) > 0 {
			return append([]byte{0}, address...), nil
		}
	}
	return nil, errors.New("want + and decimal digits, or hexadecimal digits")
}

var errFormA6 = errors.New("want PREFIX-LENGTH ADDRESS NAME, with an absolute name")

// rdataA6 encodes a prefix length, the rest of the address, and the name with the prefix (RFC 2874 3.1).
func rdataA6(data []word) ([]byte, error) {
	if len(data) < 2 {
		return nil, errFormA6
	}
	prefix, err := strconv.ParseUint(data[0].text, 10, 8)
	if err != nil || prefix > 128 {
		return nil, fmt.Errorf("%q is not a prefix length; want 0 to 128", data[0].text)
	}
	rdata, rest := []byte{byte(prefix)}, data[1:]
	if prefix < 128 {
		suffix, err := suffixA6(prefix, rest[0].text)
		if err != nil {
			return nil, err
		}
		rdata, rest = append(rdata, suffix...), rest[1:]
	}
	switch {
	case prefix == 0 && len(rest) == 0:
		return rdata, nil
	case prefix == 0 || len(rest) != 1 || !strings.HasSuffix(rest[0].text, "."):
		return nil, errFormA6
	}
	name, err := dnsname.ParseWire(rest[0].text)
	if err != nil {
		return nil, err
	}
	return append(rdata, name...), nil
}

// suffixA6 returns the octets of an address after a prefix of less than 128 bits.
func suffixA6(prefix uint64, text string) ([]byte, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() {
		return nil, fmt.Errorf("%q is not an IPv6 address", text)
	}
	suffix := addr.AsSlice()[prefix/8:]
	suffix[0] &= 0xff >> (prefix % 8)
	return suffix, nil
}

// rdataSINK encodes three numbers and data in base64.
func rdataSINK(data []word) ([]byte, error) {
	if len(data) < 3 {
		return nil, errors.New("want MEANING CODING SUBCODING DATA")
	}
	var rdata []byte
	for _, w := range data[:3] {
		octet, err := strconv.ParseUint(w.text, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number from 0 to 255", w.text)
		}
		rdata = append(rdata, byte(octet))
	}
	rest, err := rdataBase64(data[3:])
	return append(rdata, rest...), err
}

// rdataDOA encodes enterprise, type, location, media type and data.
func rdataDOA(data []word) ([]byte, error) {
	if len(data) < 5 {
		return nil, errors.New("want ENTERPRISE TYPE LOCATION MEDIA-TYPE DATA")
	}
	var rdata []byte
	for _, w := range data[:2] {
		number, err := strconv.ParseUint(w.text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number of 32 bits", w.text)
		}
		rdata = binary.BigEndian.AppendUint32(rdata, uint32(number))
	}
	location, err := strconv.ParseUint(data[2].text, 10, 8)
	if err != nil {
		return nil, fmt.Errorf("%q is not a number from 0 to 255", data[2].text)
	}
	media, err := rdataStrings(data[3:4])
	if err != nil {
		return nil, err
	}
	rdata = append(append(rdata, byte(location)), media...)
	if data[4].text == "-" {
		return rdata, nil
	}
	rest, err := rdataBase64(data[4:])
	return append(rdata, rest...), err
}

// rdataBase64 decodes base64 that may be split into words.
func rdataBase64(data []word) ([]byte, error) {
	var text strings.Builder
	for _, w := range data {
		text.WriteString(w.text)
	}
	rdata, err := base64.StdEncoding.DecodeString(text.String())
	if err != nil {
		return nil, fmt.Errorf("%q is not base64", errtext.Clip(text.String()))
	}
	return rdata, nil
}
