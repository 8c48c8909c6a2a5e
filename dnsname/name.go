// Package dnsname holds domain names in text form and in wire form.
package dnsname

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Name is a domain name: absolute, lower case, at most 255 octets on the wire, in presentation form (RFC 1035 5.1) with
// its final dot. The root is ".". Equal names are equal strings: an octet is escaped only if necessary. Parse is
// the only constructor; the zero value means no name.
type Name string

// The limits of a name and of a label in wire form, in octets (RFC 1035 2.3.4).
const (
	MaxLabel = 63
	MaxSize  = 255
)

// Parse reads a name in presentation form, absolute with or without its final dot.
func Parse(s string) (Name, error) {
	if isPlainName(s) {
		return Name(s), nil // fast path: nothing to fold, to escape or to add
	}
	wire, err := packName(s)
	if err != nil {
		return "", fmt.Errorf("%s is not a domain name: %w", quoteStart(s), err)
	}
	wire.Fold()
	return Name(wire.String()), nil
}

// isPlainName reports whether s is certainly a Name: labels of a-z, 0-9, hyphen, underscore and asterisk. It may return false
// for a valid Name.
func isPlainName(s string) bool {
	if len(s) < 2 || len(s) >= MaxSize || s[len(s)-1] != '.' {
		return false
	}
	begin := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if i == begin || i-begin > MaxLabel {
				return false
			}
			begin = i + 1
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '*':
		default:
			return false
		}
	}
	return true
}

// packName converts presentation form to wire form (RFC 1035 3.1).
func packName(s string) (Wire, error) {
	if s == "." {
		return Wire{0}, nil
	}
	if s == "" {
		return nil, errors.New("it is empty")
	}
	wire := make(Wire, 1, len(s)+2)
	length := 0 // offset of the current label's length octet
	for len(s) > 0 {
		octet, rest, err := cutOctet(s)
		if err != nil {
			return nil, err
		}
		if s[0] != '.' {
			wire = append(wire, octet)
		}
		if s[0] == '.' || rest == "" {
			if err := closeLabel(wire, length); err != nil {
				return nil, err
			}
			length = len(wire)
			wire = append(wire, 0)
		}
		s = rest
	}
	if len(wire) > MaxSize {
		return nil, fmt.Errorf("it is longer than %d octets", MaxSize)
	}
	return wire, nil
}

// closeLabel writes the length of the last label in wire.
func closeLabel(wire []byte, length int) error {
	n := len(wire) - length - 1
	switch {
	case n == 0:
		return errors.New("it has an empty label")
	case n > MaxLabel:
		return fmt.Errorf("it has a label longer than %d octets", MaxLabel)
	}
	wire[length] = byte(n)
	return nil
}

// cutOctet takes one octet off s: a plain character, \X or \DDD (RFC 1035 5.1).
func cutOctet(s string) (octet byte, rest string, err error) {
	c := s[0]
	switch {
	case c >= 0x80:
		return 0, "", errors.New("it has a character that is not ASCII, write it in punycode (xn--...)")
	case c <= ' ' || c == 0x7f || c == '@':
		return 0, "", fmt.Errorf("it contains %q", c)
	case c != '\\':
		return c, s[1:], nil
	case len(s) == 1:
		return 0, "", errors.New("it ends in a backslash")
	case !isDigit(s[1]):
		return s[1], s[2:], nil
	case len(s) < 4 || !isDigit(s[2]) || !isDigit(s[3]):
		return 0, "", errors.New("it has a backslash with fewer than three digits")
	}
	value := int(s[1]-'0')*100 + int(s[2]-'0')*10 + int(s[3]-'0')
	if value > 255 {
		return 0, "", fmt.Errorf("it has \\%s, which is more than \\255", s[1:4])
	}
	return byte(value), s[4:], nil
}

// Within reports whether n equals zone or is below it, label by label.
func (n Name) Within(zone Name) bool {
	if zone == "." || n == zone {
		return n != ""
	}
	head, ok := strings.CutSuffix(string(n), string(zone))
	if !ok || !strings.HasSuffix(head, ".") {
		return false
	}
	// The dot ends a label unless it is escaped: after an odd number of backslashes.
	head = head[:len(head)-1]
	return (len(head)-len(strings.TrimRight(head, `\`)))%2 == 0
}

// Wildcard reports whether the leftmost label of n is "*".
func (n Name) Wildcard() bool { return strings.HasPrefix(string(n), "*.") }

// Wire returns n in wire form, uncompressed.
func (n Name) Wire() Wire {
	wire, err := packName(string(n))
	if err != nil {
		panic("dnsname: a Name that does not pack: " + string(n)) // Parse rejects such names
	}
	return wire
}

// Parent returns n without its leftmost label; the root is its own parent.
func (n Name) Parent() Name {
	for i := 0; i < len(n); i++ {
		switch n[i] {
		case '\\':
			i++ // an escaped dot does not end a label
		case '.':
			if i+1 < len(n) {
				return n[i+1:]
			}
		}
	}
	return "."
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// quoteStart returns s in quotes for a message, shortened if it is long.
func quoteStart(s string) string {
	const most = 80 // characters
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%.*q...", most, s)
}
