package transfer

import (
	"net/netip"
	"testing"

	"meridian/config"
	"meridian/transfer/tsig"
)

// TestRuleMatchesAllOfItsKeys checks each combination of address and key. Without a rule no server may have the zone.
func TestRuleMatchesAllOfItsKeys(t *testing.T) {
	network := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	key, other := tsig.NewKey("xfr.", tsig.DefaultAlgorithm, []byte("secret")), tsig.NewKey("other.", tsig.DefaultAlgorithm, []byte("secret"))
	inside, outside := netip.MustParseAddr("192.0.2.54"), netip.MustParseAddr("198.51.100.1")
	for _, c := range []struct {
		name string
		rule config.TransferRule
		peer Peer
		want bool
	}{
		{"address", config.TransferRule{Addresses: network}, Peer{Source: inside}, true},
		{"another address", config.TransferRule{Addresses: network}, Peer{Source: outside}, false},
		{"address, signed", config.TransferRule{Addresses: network}, Peer{Source: inside, Key: other}, true},
		{"key", config.TransferRule{Key: "xfr."}, Peer{Source: outside, Key: key}, true},
		{"no key", config.TransferRule{Key: "xfr."}, Peer{Source: inside}, false},
		{"another key", config.TransferRule{Key: "xfr."}, Peer{Source: inside, Key: other}, false},
		{"both", config.TransferRule{Addresses: network, Key: "xfr."}, Peer{Source: inside, Key: key}, true},
		{"both, another address", config.TransferRule{Addresses: network, Key: "xfr."}, Peer{Source: outside, Key: key}, false},
		{"both, no key", config.TransferRule{Addresses: network, Key: "xfr."}, Peer{Source: inside}, false},
	} {
		if got := Refusal([]config.TransferRule{c.rule}, c.peer, nil) == ""; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if Refusal(nil, Peer{Source: inside, Key: key}, nil) == "" {
		t.Error("a zone without rules may be transferred")
	}
}
