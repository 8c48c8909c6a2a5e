package config

import "net/netip"

// parseAddr is netip.ParseAddr for octets. It may reject forms that ParseAddr accepts: a zone, IPv4-mapped IPv6.
func parseAddr(text []byte) (netip.Addr, bool) {
	for _, c := range text {
		if c == ':' {
			a, ok := parseIPv6(text)
			return netip.AddrFrom16(a), ok
		}
	}
	a, ok := parseIPv4(text)
	return netip.AddrFrom4(a), ok
}

// parseIPv4 reads four octets in decimal, without leading zeros.
func parseIPv4(text []byte) (a [4]byte, ok bool) {
	octet, digits, value := 0, 0, 0
	for _, c := range text {
		switch {
		case digit(c):
			if digits > 0 && value == 0 {
				return a, false
			}
			value = 10*value + int(c-'0')
			if digits++; value > 255 {
				return a, false
			}
		case c != '.' || digits == 0 || octet == 3:
			return a, false
		default:
			a[octet] = byte(value)
			octet, digits, value = octet+1, 0, 0
		}
	}
	a[3] = byte(value)
	return a, octet == 3 && digits > 0
}

// parseIPv6 reads eight groups in hexadecimal; "::" represents one or more zero groups (RFC 4291 2.2).
func parseIPv6(text []byte) (a [16]byte, ok bool) {
	n, gap, i := 0, -1, 0 // octets read; number of them before the "::"
	if len(text) > 1 && text[0] == ':' && text[1] == ':' {
		gap, i = 0, 2
	}
	for i < len(text) {
		value, end := hexGroup(text, i)
		if end == i || n == len(a) {
			return a, false
		}
		a[n], a[n+1] = byte(value>>8), byte(value)
		n += 2
		if i = end; i == len(text) {
			break
		}
		if i++; text[i-1] != ':' || i == len(text) {
			return a, false
		}
		if text[i] == ':' {
			if gap >= 0 {
				return a, false
			}
			gap = n
			i++
		}
	}
	return a, expandGap(&a, n, gap)
}

// expandGap inserts zeros at gap into the n octets of an address, unless gap is negative. It returns false if the
// address is too short without a gap or complete with one.
func expandGap(a *[16]byte, n, gap int) bool {
	if full := n == len(a); full || gap < 0 {
		return full && gap < 0
	}
	copy(a[len(a)-(n-gap):], a[gap:n])
	clear(a[gap : len(a)-(n-gap)])
	return true
}

// hexGroup reads up to four hexadecimal digits from i on and returns their end.
func hexGroup(text []byte, i int) (value uint16, end int) {
	for end = i; end < len(text) && end < i+4; end++ {
		c := text[end]
		switch {
		case digit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return value, end
		}
		value = value<<4 | uint16(c)
	}
	return value, end
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
