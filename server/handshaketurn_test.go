package server

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestHandshakeThatHasWaitedTooLongLosesItsTurn checks that the next client has the turn at once, and that the turn of a
// client lasts while it polls the network.
func TestHandshakeThatHasWaitedTooLongLosesItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 5 * time.Second
		s := &Server{handshakeSlots: newTCPSlots(1), handshakeShares: newShares(1)}
		turn := func() *handshakeTurn { return &handshakeTurn{server: s, late: time.Now().Add(limit)} }
		a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")

		first, second, third := turn(), turn(), turn()
		if err := first.begin(a); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- second.begin(b) }()
		synctest.Wait()
		time.Sleep(limit)
		third.late = time.Now().Add(limit)
		last := make(chan error, 1)
		go func() { last <- third.begin(c) }()
		synctest.Wait()
		time.Sleep(time.Second)
		if err := first.begin(a); err != nil || !first.held.Load() {
			t.Fatalf("within a turn: %v, held %v; want it kept, however late it is", err, first.held.Load())
		}
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("another client has the turn before it ends")
		}
		first.end()
		if err := <-ended; !errors.Is(err, errLate) || second.held.Load() {
			t.Errorf("after a wait of 6 s, with a limit of 5 s: %v, held %v; want %v", err, second.held.Load(), errLate)
		}
		if err := <-last; err != nil || !third.held.Load() {
			t.Errorf("after a wait of 1 s: %v, held %v; want the turn", err, third.held.Load())
		}
		third.end()
		if free := s.handshakeShares.free; free != 1 || s.handshakeSlots.free.Load() != 1 {
			t.Errorf("%d shares and %d slots are free at the end, want 1 and 1", free, s.handshakeSlots.free.Load())
		}
	})
}
