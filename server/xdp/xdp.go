// Package xdp receives and sends UDP packets on a network interface past the network stack of Linux, through AF_XDP sockets.
//
// A program in the kernel gives the UDP packets for some addresses to the socket of their receive queue, and leaves all others to
// the kernel. The frame of an answer goes back to the link address that its query came from, so that no route or
// neighbour is looked up:
//
//	interface ─► program ─┬─► queue's socket ─► Handler ─► the same interface
//	                      └─► kernel ─► UDP and TCP sockets
//
// Not here: what a packet says (server/answer).
//
// Sources: Linux Documentation/networking/af_xdp.rst, and BPF's verifier rules.
package xdp

import "errors"

// Mode is how the program is attached.
type Mode int

const (
	Auto    Mode = iota // Native, or Generic where the driver cannot
	Native              // in the driver
	Generic             // behind the driver: slower, with any driver
)

func (m Mode) String() string { return [...]string{"auto", "native", "generic"}[m] }

// Options say what to take from an interface.
type Options struct {
	Interface string
	Mode      Mode
	Queues    int // the first so many receive queues; 0: all
}

// Handler answers the packets of one queue. All calls come from one goroutine.
type Handler interface {
	// BeginBatch and EndBatch enclose the packets received together; n is their number.
	BeginBatch()
	EndBatch(n int)
	// Answer appends the answer to p to out and returns it; without an answer it returns out as it is. An answer beyond the capacity of
	// out has no room in a frame, and is not sent: Answer sends it in another way, and returns out as it is.
	Answer(out []byte, p *Packet) []byte
	// End is called last.
	End()
}

// Statistics counts the packets of an interface that were lost.
type Statistics struct {
	Full     uint64 // no room in a ring: the server is too slow
	Invalid  uint64 // frames that the kernel refused
	NoFrames uint64 // the kernel had no free frame: the server is too slow
	Unsent   uint64 // no free frame for an answer: the interface is too slow

	Malformed   uint64 // not answered, by Verdict
	BadChecksum uint64
}

// Plus returns the sum of both.
func (s Statistics) Plus(t Statistics) Statistics {
	return Statistics{
		s.Full + t.Full, s.Invalid + t.Invalid, s.NoFrames + t.NoFrames, s.Unsent + t.Unsent,
		s.Malformed + t.Malformed, s.BadChecksum + t.BadChecksum,
	}
}

// State describes an attached interface.
type State struct {
	Interface string
	Mode      Mode // Native or Generic
	ZeroCopy  bool // the driver writes into the frames
	Queues    int
}

// ErrNoInterface is the error for an interface that does not exist.
var ErrNoInterface = errors.New("it does not exist")

// ErrBusy is the error while another program is attached to the interface, or uses its queues.
var ErrBusy = errors.New("another program is attached, or uses its queues")

// ErrUnsupported is the error on other systems than Linux.
var ErrUnsupported = errors.New("AF_XDP exists on Linux only")
