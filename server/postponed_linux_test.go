package server

import (
	"syscall"
	"testing"
)

// countedRead counts the reads of a socket that wait in the runtime, and calls each at a read.
type countedRead struct {
	syscall.RawConn
	reads int
	each  func()
}

func (c *countedRead) Read(f func(fd uintptr) bool) error {
	c.reads++
	c.each()
	return c.RawConn.Read(f)
}

// TestWorkerAsksItsSocketWhileSignaturesAreMade checks that a worker does not leave its socket to the runtime while
// queries wait for signatures: the goroutines that sign can keep the runtime from asking for 10 ms.
func TestWorkerAsksItsSocketWhileSignaturesAreMade(t *testing.T) {
	sender, receiver := tightPair(t)
	raw, err := receiver.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{postponed: make(chan *postponed, maxPostponed)}
	w := &udpWorker{server: s}
	left := -1
	socket := &countedRead{RawConn: raw, each: func() {
		left = len(s.postponed)
		_, _ = sender.Write([]byte("second"))
	}}
	b := newBatch(socket, false)

	s.postponed <- nil
	if _, err := sender.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := w.receiveBatch(b); err != nil || b.n != 1 || socket.reads != 0 {
		t.Fatalf("while a query waits: %v, %d packets, %d reads; want one packet and no read", err, b.n, socket.reads)
	}
	go func() { <-s.postponed }() // runs when the worker yields
	if err := w.receiveBatch(b); err != nil || b.n != 1 || socket.reads != 1 || left != 0 {
		t.Fatalf("%v, %d packets, %d reads, the first with %d queries waiting; want one packet by one read with none", err, b.n, socket.reads, left)
	}
}
