package discovery

import (
	"net/netip"

	"github.com/miekg/dns"
)

// The address families of a client subnet (RFC 7871 6).
const (
	subnetIPv4 = 1
	subnetIPv6 = 2
)

// optionOf returns the option of a question for clients in a subnet.
func optionOf(subnet netip.Prefix) *dns.EDNS0_SUBNET {
	family := uint16(subnetIPv6)
	if subnet.Addr().Is4() {
		family = subnetIPv4
	}
	return &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice()}
}

// subnetOf returns the client subnet in a response, or nil.
func subnetOf(answer *dns.Msg) *dns.EDNS0_SUBNET {
	opt := answer.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
			return subnet
		}
	}
	return nil
}

// isForSubnet reports whether a response is for the subnet of the question, or names none. Another one is forged, or of a
// broken server (RFC 7871 7.3).
func (c *client) isForSubnet(answer *dns.Msg) bool {
	got := subnetOf(answer)
	if got == nil || !c.subnet.IsValid() {
		return true
	}
	asked := optionOf(c.subnet)
	return got.Family == asked.Family && got.SourceNetmask == asked.SourceNetmask && got.Address.Equal(asked.Address)
}
