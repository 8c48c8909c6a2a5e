package control

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"meridian/geo"
)

// clientNames matches the code of a country, such as FR, and an autonomous system, such as AS64500.
var clientNames = regexp.MustCompile(`^(?i:[a-z]{2}|as[0-9]{1,10})$`)

// NamesClients reports whether a text is the code of a country or an autonomous system.
func NamesClients(text string) bool { return clientNames.MatchString(text) }

// LargestNetwork returns the largest IPv4 network of a country or an autonomous system, the first of several. It is
// slow: it visits the networks of all countries.
func (c *Control) LargestNetwork(of string) (network netip.Prefix, err error) {
	at := c.hold()
	defer at.Release()
	wanted := inCountry(strings.ToUpper(of))
	if digits := of[2:]; digits != "" {
		if wanted, err = inSystem(digits); err != nil {
			return network, err
		}
	}
	err = at.Snapshot.Geo.Blocks(true, func(b geo.Block) bool {
		if wanted(&b) && (!network.IsValid() || b.Prefix.Bits() < network.Bits()) {
			network = b.Prefix
		}
		return true
	})
	if err == nil && !network.IsValid() {
		err = &RequestError{NotFound: true, What: fmt.Sprintf("no IPv4 network of %s is known", of), Hint: "a country code such as FR; an autonomous system such as AS64500, with a database under geo.asn"}
	}
	return network, err
}

func inCountry(code string) func(*geo.Block) bool {
	return func(b *geo.Block) bool { return b.At.Country == code }
}

func inSystem(digits string) (func(*geo.Block) bool, error) {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("AS%s is not an autonomous system; want AS0 to AS4294967295", digits)
	}
	return func(b *geo.Block) bool { return b.ASN != 0 && b.ASN == uint32(n) }, nil
}
