package server

import (
	"fmt"
	"os"
	"sync/atomic"
)

// tcpSlots bounds how many TCP connections compute answers at the same time, and
// makes sure that the network is polled between two of them.
//
// A connection of a client that pipelines never blocks, because its next query has always arrived.
// With one such connection for each processor, the Go scheduler would poll the network only every
// 10 ms, and a UDP query would wait for a time slice of every busy connection. Therefore, a slot
// that connections wait for is passed on through the network poller: it is a byte in a pipe. The
// poller returns every other readable socket before the byte is read.
//
//	acquire                        release
//	free > 0    take one           no connection waits    free + 1
//	free = 0    wait for ready     connections wait       byte -> pipe -> poller -> ready
type tcpSlots struct {
	free  atomic.Int64  // below 0: how many connections wait
	ready chan struct{} // slots that came through the poller; has room for all
	out   *os.File      // of the pipe; nil before open: slots are passed on directly
	in    *os.File
	token []byte // a slot in the pipe
}

// newTCPSlots returns n free slots.
func newTCPSlots(n int) *tcpSlots {
	s := &tcpSlots{ready: make(chan struct{}, n), token: []byte{0}}
	s.free.Store(int64(n))
	return s
}

// open creates the pipe; run must be started after it and before any connection.
func (s *tcpSlots) open() (err error) {
	if s.in, s.out, err = os.Pipe(); err != nil {
		return fmt.Errorf("create the pipe that TCP connections are scheduled by: %w", err)
	}
	return nil
}

// run hands out the slots that come through the poller, until close.
func (s *tcpSlots) run() {
	tokens := make([]byte, cap(s.ready))
	for {
		n, err := s.in.Read(tokens)
		if err != nil {
			return
		}
		for range n {
			s.ready <- struct{}{}
		}
	}
}

// close ends run. No connection may use the slots any more.
func (s *tcpSlots) close() {
	if s.out != nil {
		_ = s.out.Close() // run reads the end of the pipe
		_ = s.in.Close()
	}
}

// acquire waits for a slot, and reports whether the network was polled for it. With
// poll, it is, even if a slot is free.
func (s *tcpSlots) acquire(poll bool) (polled bool) {
	if s.free.Add(-1) >= 0 {
		if !poll {
			return false
		}
		s.pass()
	}
	<-s.ready
	return true
}

// release frees a slot, or passes it on to the connection that has waited longest.
func (s *tcpSlots) release() {
	if s.free.Add(1) <= 0 {
		s.pass()
	}
}

// pass sends a slot through the poller. A pipe holds more bytes than there are slots: the write does not block.
func (s *tcpSlots) pass() {
	if s.out != nil {
		if _, err := s.out.Write(s.token); err == nil {
			return
		}
	}
	s.ready <- struct{}{}
}
