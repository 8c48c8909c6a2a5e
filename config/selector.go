package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Selector selects the members that an override or a maintenance window applies to:
//
//	text          members
//	pool/member   that member
//	address:IP    every endpoint with the address, in all pools
//	pool          all members of the pool
//	region:NAME   all members in the region, in all pools
//
// A star in a name stands for any characters. Names contain no slash, colon or star.
type Selector struct {
	Pool, Member, Region string
	Address              netip.Addr
}

const (
	regionPrefix  = "region:"
	addressPrefix = "address:"
)

// ParseSelector parses the text form of a selector.
func ParseSelector(s string) (Selector, error) {
	if region, ok := strings.CutPrefix(s, regionPrefix); ok && region != "" {
		return Selector{Region: region}, nil
	}
	if text, ok := strings.CutPrefix(s, addressPrefix); ok {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return Selector{}, fmt.Errorf("%q is not a target; %q is not an IP address", s, text)
		}
		return Selector{Address: addr.Unmap()}, nil
	}
	pool, member, slash := strings.Cut(s, "/")
	if pool == "" || slash && member == "" || strings.ContainsAny(member, "/:") || strings.Contains(pool, ":") {
		return Selector{}, fmt.Errorf("%q is not a target; want pool/member, pool, region:NAME or address:IP", s)
	}
	return Selector{Pool: pool, Member: member}, nil
}

func (t Selector) String() string {
	switch {
	case t.Address.IsValid():
		return addressPrefix + t.Address.String()
	case t.Region != "":
		return regionPrefix + t.Region
	case t.Member != "":
		return t.Pool + "/" + t.Member
	}
	return t.Pool
}

// MarshalText returns the text form.
func (t Selector) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText parses the text form.
func (t *Selector) UnmarshalText(text []byte) (err error) {
	*t, err = ParseSelector(string(text))
	return err
}

// HasStar reports whether the selector is a pattern.
func (t Selector) HasStar() bool { return strings.Contains(t.Pool+t.Member+t.Region, "*") }

// MatchesStar reports whether name matches a pattern in which a star stands for any characters.
func MatchesStar(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	rest := name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return true
}
