package server

import (
	"net/netip"
	"testing"
)

// The kernel drops packets from the network to a loopback address. AF_XDP must not answer them.
func TestBypassTakesNoLoopbackAddresses(t *testing.T) {
	b := newBypass(&Server{})
	b.use([]*listener{
		{addr: netip.MustParseAddrPort("0.0.0.0:53"), udp: make([]*udpWorker, 1)},
		{addr: netip.MustParseAddrPort("[::]:53"), udp: make([]*udpWorker, 1)},
		{addr: netip.MustParseAddrPort("127.0.0.1:5300"), udp: make([]*udpWorker, 1)},
		{addr: netip.MustParseAddrPort("192.0.2.53:53"), udp: make([]*udpWorker, 1)},
		{addr: netip.MustParseAddrPort("192.0.2.54:853")}, // not UDP
	})
	found := false
	for _, a := range b.addresses() {
		found = found || a == netip.MustParseAddrPort("192.0.2.53:53")
		if a.Addr().IsLoopback() || a.Addr().IsUnspecified() || a.Port() == 853 {
			t.Errorf("%s is taken", a)
		}
	}
	if !found {
		t.Error("192.0.2.53:53 is not taken")
	}
}
