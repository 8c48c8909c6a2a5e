package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"meridian/config"
	"meridian/counterpart"
	"meridian/server/answer"
)

// TestSharesServeClientsInTurn lets one client wait with many tasks before others come.
func TestSharesServeClientsInTurn(t *testing.T) {
	s := newShares(2)
	many, few, one := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::")
	type task struct {
		client netip.Addr
		slot   <-chan struct{}
	}
	var waiting []task
	for _, client := range []netip.Addr{many, many, many, many, many, few, few, one} {
		if slot := s.queue(client); slot != nil {
			waiting = append(waiting, task{client, slot})
		}
	}
	if len(waiting) != 6 {
		t.Fatalf("%d tasks wait for 2 slots, want 6 of 8", len(waiting))
	}
	var served []netip.Addr
	for range 6 {
		s.release()
		i := slices.IndexFunc(waiting, func(w task) bool {
			select {
			case <-w.slot:
				return true
			default:
				return false
			}
		})
		if i < 0 {
			t.Fatalf("after %v: a released slot goes to no task", served)
		}
		served = append(served, waiting[i].client)
		waiting = slices.Delete(waiting, i, i+1)
	}
	if want := []netip.Addr{many, few, one, many, few, many}; !slices.Equal(served, want) {
		t.Errorf("served %v, want %v", served, want)
	}
	s.release()
	s.release()
	if s.free != 2 || len(s.waiting) != 0 || len(s.order) != 0 {
		t.Errorf("after all: %+v", s)
	}
}

// TestHandshakesTakeTurns connects while another client has all slots of handshakes.
func TestHandshakesTakeTurns(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Query = time.Minute
	snapshot.Config.Server.ListenQUIC = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s, at := serveTLS(t, snapshot)
	quicAt := s.EncryptedAddrs()[answer.DoQ][0]
	client := netip.MustParseAddr("127.0.0.1")
	secure := &tls.Config{RootCAs: roots, ServerName: "dns.example"}
	for what, connect := range map[string]func() error{
		"TLS": func() error {
			conn, err := (&tls.Dialer{Config: secure}).DialContext(t.Context(), "tcp", at.String())
			if err == nil {
				err = conn.Close()
			}
			return err
		},
		"QUIC": func() error { _, err := tryQUIC(t, quicAt, secure); return err },
	} {
		slots := max(1, s.cores/2)
		for range slots {
			s.handshakeShares.acquire(netip.MustParseAddr("192.0.2.1"), nil)
		}
		done := make(chan error, 1)
		go func() { done <- connect() }()
		counterpart.Await(t, func() error {
			s.handshakeShares.mu.Lock()
			defer s.handshakeShares.mu.Unlock()
			if len(s.handshakeShares.waiting[client]) != 1 {
				return fmt.Errorf("%s: %v wait", what, s.handshakeShares.waiting)
			}
			return nil
		})
		for range slots {
			s.handshakeShares.release()
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestClientsHoldNoTurnOfHandshakes lets the server ask for another key share (RFC 8446 4.1.4), and does not answer. Another
// client connects.
func TestClientsHoldNoTurnOfHandshakes(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Query = time.Minute
	s, dot := serveTLS(t, snapshot)
	hello := append([]byte{3, 3}, make([]byte, 32+1)...)      // version, random, no session
	hello = append(hello, 0, 2, 0x13, 1, 1, 0)                // TLS_AES_128_GCM_SHA256, no compression
	extensions := []byte{0, 43, 0, 3, 2, 3, 4}                // TLS 1.3
	extensions = append(extensions, 0, 10, 0, 4, 0, 2, 0, 29) // X25519
	extensions = append(extensions, 0, 13, 0, 4, 0, 2, 4, 3)  // ECDSA with P-256
	extensions = append(extensions, 0, 51, 0, 2, 0, 0)        // no key share
	hello = append(append(hello, 0, byte(len(extensions))), extensions...)
	hello = append([]byte{1, 0, 0, byte(len(hello))}, hello...)
	for range s.cores + 1 {
		conn := dial(t, "tcp", dot)
		_, _ = conn.Write(append([]byte{22, 3, 1, 0, byte(len(hello))}, hello...))
		reply := make([]byte, 6)
		if _, err := io.ReadFull(conn, reply); err != nil || reply[0] != 22 || reply[5] != 2 {
			t.Fatalf("the server does not ask for a key share: %x, %v", reply, err)
		}
	}
	dialTLS(t, dot, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	s.handshakeShares.mu.Lock()
	defer s.handshakeShares.mu.Unlock()
	if s.handshakeShares.free != max(1, s.cores/2) {
		t.Errorf("%d turns are free", s.handshakeShares.free)
	}
}

// TestQUICHandshakesThatWaitDoNotDelayDraining removes the listener of a handshake that waits for a slot.
func TestQUICHandshakesThatWaitDoNotDelayDraining(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Query = time.Minute
	s, at := serveQUIC(t, snapshot)
	slots := max(1, s.cores/2)
	for range slots {
		s.handshakeShares.acquire(netip.MustParseAddr("192.0.2.1"), nil)
	}
	release := sync.OnceFunc(func() {
		for range slots {
			s.handshakeShares.release()
		}
	})
	t.Cleanup(release)
	connected := make(chan error, 1)
	go func() {
		_, err := tryQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
		connected <- err
	}()
	counterpart.Await(t, func() error {
		s.handshakeShares.mu.Lock()
		defer s.handshakeShares.mu.Unlock()
		if len(s.handshakeShares.waiting) != 1 {
			return fmt.Errorf("%v wait", s.handshakeShares.waiting)
		}
		return nil
	})
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		swapSettings(t, s, snapshot, func(c *config.Server) { c.ListenQUIC = nil })
	}()
	select {
	case <-swapped:
	case <-time.After(eventTimeout):
		t.Error("the reload waits for the handshake")
		release()
		<-swapped
	}
	if err := <-connected; err == nil {
		t.Error("the handshake is complete")
	}
	release()
	counterpart.Await(t, func() error {
		s.handshakeShares.mu.Lock()
		defer s.handshakeShares.mu.Unlock()
		if s.handshakeShares.free != slots {
			return fmt.Errorf("%d of %d slots are free", s.handshakeShares.free, slots)
		}
		return nil
	})
}
