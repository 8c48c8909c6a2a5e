package config

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Name is a domain name: absolute, lower case, at most 255 octets on the wire,
// in presentation form (RFC 1035 5.1) with its final dot. The root is ".".
// ParseName is the only way in; the zero value means no name.
type Name string

// ParseName reads a name in presentation form, absolute with or without its final dot.
func ParseName(s string) (Name, error) {
	if s == "" {
		return "", fmt.Errorf("empty domain name")
	}
	if _, ok := dns.IsDomainName(s); !ok {
		return "", fmt.Errorf("%q is not a domain name", s)
	}
	return Name(dns.CanonicalName(s)), nil
}

// Within reports whether n is zone or lies below it, label by label.
func (n Name) Within(zone Name) bool {
	return dns.IsSubDomain(string(zone), string(n))
}

// Wildcard reports whether the leftmost label of n is "*".
func (n Name) Wildcard() bool { return strings.HasPrefix(string(n), "*.") }

// Wire is n in wire form, uncompressed.
func (n Name) Wire() []byte {
	buf := make([]byte, 255)
	end, err := dns.PackDomainName(string(n), buf, 0, nil, false)
	if err != nil {
		panic("config: a Name that does not pack: " + string(n)) // ParseName let none through
	}
	return buf[:end]
}
