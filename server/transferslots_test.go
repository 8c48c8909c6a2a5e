package server

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
)

// TestClientLeavesTransferSlotsToOthers has one client that asks for more transfers than it may have at a time.
func TestClientLeavesTransferSlotsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTransferSlots()
		greedy, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
		for range maxTransfersOfClient {
			if !s.begin(greedy, 0) {
				t.Fatal("no slot for a client that has fewer than it may")
			}
		}
		if s.begin(netip.MustParseAddr("2001:db8::2"), transferWait) {
			t.Error("a client has more slots than it may, with another address of its network")
		}
		for range maxTransfers - maxTransfersOfClient {
			if !s.begin(netip.MustParseAddr("::ffff:192.0.2.1"), 0) {
				t.Fatal("no slot for another client")
			}
		}
		if s.begin(netip.MustParseAddr("192.0.2.2"), transferWait) {
			t.Error("more transfers than there are slots")
		}
		waits := make(chan bool)
		go func() { waits <- s.begin(netip.MustParseAddr("192.0.2.2"), transferWait) }()
		synctest.Wait()
		s.end(other)
		if !<-waits {
			t.Error("a client that waits does not get a slot that is free")
		}
		for range maxTransfersOfClient {
			s.end(greedy)
		}
		for range maxTransfers - maxTransfersOfClient - 1 {
			s.end(other)
		}
		s.end(netip.MustParseAddr("192.0.2.2"))
		if s.all != 0 || len(s.running) != 0 {
			t.Errorf("%d slots and %v are left", s.all, s.running)
		}
	})
}

func TestSlowReaderIsLate(t *testing.T) {
	begun := time.Unix(1000, 0)
	for _, c := range []struct {
		messages int
		after    time.Duration
		want     bool
	}{
		{0, transferGrace, false},
		{1, transferGrace + time.Second, false},
		{1, transferGrace + 2*time.Second, true},
		{10_000, transferGrace + 10_000*time.Second, false},
		{10_000, transferGrace + 10_001*time.Second, true},
	} {
		if got := late(begun, begun.Add(c.after), c.messages); got != c.want {
			t.Errorf("%d messages after %s: %v", c.messages, c.after, got)
		}
	}
}

// TestClientThatDoesNotReadLosesItsSlot asks for large transfers and reads nothing: others get the zone.
func TestClientThatDoesNotReadLosesItsSlot(t *testing.T) {
	zone := "$TTL 300\n@ SOA ns h 7 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n$GENERATE 1-60000 n$ TXT \"" + strings.Repeat("x", 200) + "\"\n"
	s := serve(t, answertest.Build(t, `
server: {listen: ["127.0.0.1:0"], workers: 1, tcp: {idle: 1s}}
zones: {example.com: {file: example.com.zone, transfer: {out: [{addresses: [127.0.0.1]}]}}}
`, zone), false, "127.0.0.1:0")
	server := s.Addrs()[0].String()
	for range maxTransfersOfClient {
		conn, err := net.DialTimeout("tcp", server, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		if err := (&dns.Conn{Conn: conn}).WriteMsg(new(dns.Msg).SetAxfr("example.com.")); err != nil {
			t.Fatal(err)
		}
	}
	counterpart.Await(t, func() error {
		_, err := fetch(t, server, asked{zone: "example.com."})
		return err
	})
}
