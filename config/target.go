package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// maxResolvers limits the time that a name may take if no resolver answers.
const maxResolvers = 8

// resolvers reads the resolvers of target addresses.
func (d *decoder) resolvers(to *[]netip.AddrPort) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			a, ok := d.addrPort(item, resolverHint)
			switch {
			case !ok:
			case a.Port() == 0 || a.Addr().IsUnspecified():
				d.errorf(item, quote(item.Value)+" is not the address of a resolver", "write the address and port of a resolver, such as 127.0.0.1:53")
			case slices.Contains(*to, a):
				d.errorf(item, quote(item.Value)+" is listed twice", "leave one out")
			default:
				*to = append(*to, a)
			}
		})
		switch {
		case ok && len(n.Content) == 0:
			d.errorAtKey(n, "an empty list", "write at least one resolver, or leave the key out")
		case ok && len(n.Content) > maxResolvers:
			d.errorAtKey(n, fmt.Sprintf("%d resolvers", len(n.Content)), fmt.Sprintf("at most %d", maxResolvers))
		}
	}
}

func resolverHint(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return "write " + netip.AddrPortFrom(a, 53).String()
	}
	return "write it like 127.0.0.1:53 or [2001:db8::53]:53"
}

// hostName reads the name of an external host that resolves to addresses.
func (d *decoder) hostName(n *yaml.Node) (dnsname.Name, bool) {
	name, ok := d.domain(n)
	switch {
	case !ok:
		return "", false
	case name == "." || strings.Contains(string(name), "*"):
		d.errorf(n, quote(n.Value)+" is not a host name", "write it like lb.example.net")
		return "", false
	}
	if _, err := netip.ParseAddr(n.Value); err == nil {
		d.errorf(n, quote(n.Value)+" is an address", "write it under addresses")
		return "", false
	}
	return name, true
}

// rejectUnprobedCheck reports a check on a member without addresses to probe, which has something else.
func (d *decoder) rejectUnprobedCheck(n *yaml.Node, m *Member, with, hint string) {
	m.Check = ""
	if own := yamldoc.Child(n, "check"); own != nil && own.Value != noCheck {
		d.errorf(own, "a check on a member with "+with, hint)
	}
}

// hasAddresses reports whether a member has addresses of its own or those of a target.
func (m *Member) hasAddresses() bool { return m.Pool == "" && m.CName == "" && !m.HasOnlyRecords() }

// hasNamedAddresses reports whether a member's addresses come from a name and not from the configuration.
func (m *Member) hasNamedAddresses() bool { return m.Target != "" || m.CName != "" }

// Target is a name elsewhere, to resolve and track its addresses: "lb.example.net.", or as clients in a subnet resolve it,
// "lb.example.net. for 198.51.100.0/24". Empty: none.
type Target string

// forSubnet is between the name and the subnet of a Target. No name contains a space.
const forSubnet = " for "

// newTarget returns the target for a name as clients in subnet resolve it; an invalid subnet: as the resolver does.
func newTarget(name dnsname.Name, subnet netip.Prefix) Target {
	if !subnet.IsValid() {
		return Target(name)
	}
	return Target(string(name) + forSubnet + subnet.String())
}

// Name returns the name that is resolved.
func (t Target) Name() dnsname.Name {
	name, _, _ := strings.Cut(string(t), forSubnet)
	return dnsname.Name(name)
}

// Subnet returns the client subnet that the resolver gets; invalid: none.
func (t Target) Subnet() netip.Prefix {
	_, subnet, _ := strings.Cut(string(t), forSubnet)
	p, _ := netip.ParsePrefix(subnet)
	return p
}
