package server

import (
	"net/netip"
	"sync"
)

// shares lends a number of slots to clients in turn: a client that waits with many tasks does not delay another one by
// more than one of them. It is safe for concurrent use.
type shares struct {
	mu      sync.Mutex // guards all below
	free    int
	waiting map[netip.Addr][]chan struct{} // tasks of each client, the first one waits longest; without empty lists
	order   []netip.Addr                   // the clients of waiting, in the order of their next slots
}

func newShares(n int) *shares { return &shares{free: n, waiting: map[netip.Addr][]chan struct{}{}} }

// acquire waits for a slot, or until a channel is closed; false: there is none.
func (s *shares) acquire(client netip.Addr, until <-chan struct{}) bool {
	slot := s.queue(client)
	if slot == nil {
		return true
	}
	select {
	case <-slot:
		return true
	case <-until:
		go func() { // its place in the queue is passed on when it is its turn
			<-slot
			s.release()
		}()
		return false
	}
}

// queue takes a free slot, or returns a channel that is closed when there is one.
func (s *shares) queue(client netip.Addr) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		return nil
	}
	slot := make(chan struct{})
	own := s.waiting[client]
	if len(own) == 0 {
		s.order = append(s.order, client)
	}
	s.waiting[client] = append(own, slot)
	return slot
}

// release passes a slot to the next client, or frees it.
func (s *shares) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		s.free++
		return
	}
	client := s.order[0]
	s.order = s.order[1:]
	own := s.waiting[client]
	close(own[0])
	if own = own[1:]; len(own) == 0 {
		delete(s.waiting, client)
		return
	}
	s.waiting[client] = own
	s.order = append(s.order, client)
}
