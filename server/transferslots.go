package server

import (
	"net/netip"
	"sync"
	"time"
)

// transferSlots limits the transfers that are sent at a time, and those of each client: a secondary of many zones leaves slots to
// others.
type transferSlots struct {
	mu      sync.Mutex // guards the fields below
	running map[netip.Addr]int
	all     int
	ended   chan struct{} // closed when a transfer ends, and replaced
}

func newTransferSlots() *transferSlots {
	return &transferSlots{running: map[netip.Addr]int{}, ended: make(chan struct{})}
}

// slotOwner returns the client that a slot belongs to: an IPv6 client has many addresses of its network.
func slotOwner(client netip.Addr) netip.Addr {
	if client = client.Unmap(); client.Is4() {
		return client
	}
	network, _ := client.WithZone("").Prefix(64) // never fails
	return network.Addr()
}

// begin waits at most wait for a slot. It returns false if there is none by then.
func (s *transferSlots) begin(client netip.Addr, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		ended := s.take(slotOwner(client))
		if ended == nil {
			return true
		}
		select {
		case <-ended:
		case <-timer.C:
			return false
		}
	}
}

// take takes a slot, or returns a channel that is closed when one may be free.
func (s *transferSlots) take(owner netip.Addr) (ended <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == maxTransfers || s.running[owner] == maxTransfersOfClient {
		return s.ended
	}
	s.all++
	s.running[owner]++
	return nil
}

// end frees a slot.
func (s *transferSlots) end(client netip.Addr) {
	owner := slotOwner(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.running[owner]--; s.running[owner] == 0 {
		delete(s.running, owner)
	}
	close(s.ended)
	s.ended = make(chan struct{})
}
