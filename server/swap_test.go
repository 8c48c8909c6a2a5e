package server

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// TestSwapLosesNoQuery queries continuously while snapshots change. Each answer must be from one
// snapshot.
func TestSwapLosesNoQuery(t *testing.T) {
	worlds := [2]*snapshot.Snapshot{answertest.World(t), answertest.World(t, "192.0.2.1,", "192.0.2.101,")}
	bothWays(t, func(t *testing.T, portable bool) {
		listenOn(worlds[1], "127.0.0.1:0")
		s := serve(t, worlds[0], portable, "127.0.0.1:0")
		udp, tcp := dial(t, "udp", s.Addrs()[0]), dial(t, "tcp", s.Addrs()[0])
		query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))

		var swapped atomic.Bool
		go func() {
			defer swapped.Store(true)
			for i := range 20 {
				if old, err := s.Swap(worlds[(i+1)%2]); err != nil || old != worlds[i%2] {
					t.Errorf("swap %d: %p %v", i, old, err)
				}
			}
		}()
		asked := uint16(0)
		for ; !swapped.Load() || asked < 10; asked += 2 {
			binary.BigEndian.PutUint16(query, asked)
			answer := askUDP(t, udp, query)
			if _, err := tcp.Write(framed(query)); err != nil {
				t.Fatal(err)
			}
			for _, answer := range []*dns.Msg{answer, readFrame(t, tcp)} {
				if answer.Id != asked || len(answer.Answer) != 1 {
					t.Errorf("%v", answer)
				}
			}
		}
		if n := s.Counters().Queries; n != uint64(asked) {
			t.Errorf("%d asked, %d counted", asked, n)
		}
	})
}

func TestSwapOpensNewAndClosesRemovedAddresses(t *testing.T) {
	first, second := answertest.World(t), answertest.World(t)
	s := serve(t, first, false, "127.0.0.1:0", "127.0.0.2:0")
	before := s.Addrs()
	listenOn(second, "127.0.0.3:0", "127.0.0.1:0")
	if _, err := s.Swap(second); err != nil {
		t.Fatal(err)
	}
	after := s.Addrs()
	if len(after) != 2 || after[1] != before[0] {
		t.Fatalf("listens on %v, before on %v", after, before)
	}
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	for _, to := range after {
		askUDP(t, dial(t, "udp", to), query)
	}
	if conn, err := net.Dial("tcp", before[1].String()); err == nil {
		conn.Close()
		t.Errorf("still listens on %s", before[1])
	}
}

func TestFailedSwapChangesNothing(t *testing.T) {
	first, second := answertest.World(t), answertest.World(t)
	s := serve(t, first, false, "127.0.0.1:0")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	listenOn(second, "127.0.0.2:0", taken.Addr().String())
	before := s.Addrs()
	if old, err := s.Swap(second); err == nil || old != nil {
		t.Fatalf("swapped to an address that is taken: %v", err)
	}
	if after := s.Addrs(); len(after) != 1 || after[0] != before[0] || s.Snapshot() != first {
		t.Errorf("listens on %v, before on %v", after, before)
	}
	askUDP(t, dial(t, "udp", before[0]), answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
}

// TestSwapBetweenWildcardAndSingleAddress changes between the two on one port. After each step a
// second server cannot listen there.
func TestSwapBetweenWildcardAndSingleAddress(t *testing.T) {
	if !reusePort {
		t.Skip("this system does not hand a port over")
	}
	worlds := [2]*snapshot.Snapshot{answertest.World(t), answertest.World(t)}
	bothWays(t, func(t *testing.T, portable bool) {
		for _, wildcard := range []string{"0.0.0.0", "[::]"} {
			single := map[string]string{"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}[wildcard]
			s := serve(t, worlds[0], portable, single+":0")
			at := s.Addrs()[0]
			query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
			for i, addr := range []string{wildcard, single, wildcard} {
				to := netip.AddrPortFrom(netip.MustParseAddr(strings.Trim(addr, "[]")), at.Port())
				listenOn(worlds[(i+1)%2], to.String())
				if _, err := s.Swap(worlds[(i+1)%2]); err != nil {
					t.Fatal(err)
				}
				if now := s.Addrs(); len(now) != 1 || now[0] != to {
					t.Errorf("listens on %v, want %v", now, to)
				}
				askUDP(t, dial(t, "udp", at), query)
				conn := dial(t, "tcp", at)
				if _, err := conn.Write(framed(query)); err != nil {
					t.Fatal(err)
				}
				readFrame(t, conn)
				for _, taken := range []string{wildcard, single} {
					l, err := net.Listen(Network("tcp", at.Addr()), fmt.Sprintf("%s:%d", taken, at.Port()))
					if err == nil {
						l.Close()
						t.Errorf("a second server can listen on %s beside us on %s", taken, addr)
					}
				}
			}
		}
	})
}

func TestWildcardWithSingleAddressIsRefused(t *testing.T) {
	first, second := answertest.World(t), answertest.World(t)
	s := serve(t, first, false, "127.0.0.1:0")
	at := s.Addrs()[0]
	listenOn(first, at.String())
	s.listeners[0].asked = at
	listenOn(second, at.String(), fmt.Sprintf("0.0.0.0:%d", at.Port()))
	if _, err := s.Swap(second); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("swapped: %v", err)
	}
}

func TestListenNamesAddressInUse(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		var address string
		if network == "tcp" {
			l, err := net.Listen(network, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			address = l.Addr().String()
		} else {
			l, err := net.ListenPacket(network, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			address = l.LocalAddr().String()
		}
		snapshot := answertest.World(t)
		listenOn(snapshot, "127.0.0.1:0", address)
		err := New(snapshot, Options{}).Listen()
		if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", network, err)
		}
	}
}

func TestServeWithoutListenIsAnError(t *testing.T) {
	if err := New(answertest.World(t), Options{}).Serve(t.Context()); err == nil {
		t.Error("no error")
	}
}
