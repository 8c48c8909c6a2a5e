package transfer

import (
	"bytes"
	"net/netip"

	"meridian/config"
	"meridian/transfer/tsig"
)

// Peer is a server that asks for a transfer.
type Peer struct {
	Source netip.Addr
	Key    *tsig.Key // that signed the request, which was verified; nil: it is not signed
}

// Allowed reports whether any rule allows a transfer to a peer:
//
//	the rule has   the peer matches if
//	addresses      its address is in one of them
//	key            the request is signed with that key
//	both           both are true
func Allowed(rules []config.TransferRule, p Peer) bool {
	for i := range rules {
		if matches(&rules[i], p) {
			return true
		}
	}
	return false
}

func matches(rule *config.TransferRule, p Peer) bool {
	if len(rule.Addresses) > 0 && !contains(rule.Addresses, p.Source) {
		return false
	}
	return rule.Key == "" || p.Key != nil && bytes.Equal(p.Key.Name(), rule.Key.Wire())
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// RuleFor returns the first rule with the address of a secondary, of which the key signs notifications to it; nil: none.
func RuleFor(rules []config.TransferRule, secondary netip.Addr) *config.TransferRule {
	for i := range rules {
		if contains(rules[i].Addresses, secondary) {
			return &rules[i]
		}
	}
	return nil
}
