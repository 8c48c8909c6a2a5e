package server

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"meridian/server/answer"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// socketBuffer is the size of the kernel's buffer of a UDP socket, in bytes each way: the
	// default overflows on the first burst.
	socketBuffer = 4 << 20
	// receiveSize is the largest accepted UDP query; a longer one is dropped. It is not a power
	// of two, so that buffers do not share cache sets.
	receiveSize = 2048 + 64
	// receivePause is the pause of a worker after an error of its socket.
	receivePause = 10 * time.Millisecond
)

// longAgo is a deadline that wakes a goroutine waiting for a socket.
var longAgo = time.Unix(1, 0)

// udpWorker answers the queries of one UDP socket.
type udpWorker struct {
	conn      *net.UDPConn
	wildcard  bool // the socket takes packets to any address of the host
	responder *answer.Responder
	server    *Server
	waiting   sync.WaitGroup // for postponed queries
	stopping  atomic.Bool

	// returnPath returns where the answer to the current query goes, and the control message for it.
	returnPath func() (netip.AddrPort, []byte)

	end  time.Time // of draining; set before stopping
	done chan struct{}
}

func newUDPWorker(s *Server, conn *net.UDPConn, addr netip.Addr) *udpWorker {
	w := &udpWorker{
		conn: conn, wildcard: addr.IsUnspecified(),
		responder: s.Responder(), server: s, done: make(chan struct{}),
	}
	w.responder.Postpone = w.postpone
	return w
}

// run answers until drain, then drains the socket.
func (w *udpWorker) run() {
	defer close(w.done)
	if w.server.portable {
		w.runPortable()
	} else {
		w.runBatches()
	}
}

// drain makes a running worker answer the received queries and end, at end at the latest. It sets
// the deadlines first: after stopping is set, the worker sets its own.
func (w *udpWorker) drain(end time.Time) {
	_ = w.conn.SetWriteDeadline(end) // these fail on a closed socket only
	_ = w.conn.SetReadDeadline(longAgo)
	w.end = end
	w.stopping.Store(true)
}

// close closes the socket, after the worker has ended if it runs.
func (w *udpWorker) close(running bool) {
	if running {
		<-w.done
		w.waiting.Wait()
	}
	_ = w.conn.Close()
	w.server.Remove(w.responder)
}

// portableDrain is how long the portable path still answers after drain, because it cannot check
// whether a socket is empty.
const portableDrain = 50 * time.Millisecond

// runPortable processes one packet at a time, on any system.
func (w *udpWorker) runPortable() {
	p := packet{in: make([]byte, answer.MaxSize), control: make([]byte, controlSize)}
	w.returnPath = func() (netip.AddrPort, []byte) { return p.source, w.replySource(p.control[:p.controls]) }
	for !w.stopping.Load() {
		w.answerPacket(&p)
	}
	_ = w.conn.SetReadDeadline(time.Now().Add(portableDrain))
	for w.answerPacket(&p) {
	}
}

// controlSize is room for the requested control messages on any system.
const controlSize = 256

// packet holds the memory of the portable path.
type packet struct {
	in, control, out []byte
	source           netip.AddrPort // of the packet in in
	controls         int            // the length of its control message
}

// answerPacket waits for a packet and answers it. It returns false if none came.
func (w *udpWorker) answerPacket(p *packet) bool {
	n, controls, _, source, err := w.conn.ReadMsgUDPAddrPort(p.in, p.control)
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(receivePause)
		}
		return false
	}
	w.responder.StartTiming()
	w.responder.Port = source.Port()
	p.source, p.controls = source, controls
	p.out = w.responder.Respond(p.out[:0], p.in[:n], source.Addr(), false)
	w.write(p.out, p.control[:controls], source)
	w.responder.EndTiming(answer.UDP, 1)
	return true
}

// write sends an answer, if there is one, from the destination address of the query. It does not
// wait for room: except on Linux, UDP packets do not queue in the socket.
func (w *udpWorker) write(out, control []byte, to netip.AddrPort) {
	if len(out) == 0 {
		return
	}
	if _, _, err := w.conn.WriteMsgUDPAddrPort(out, w.replySource(control), to); err != nil {
		w.server.Count(answer.SendFailed, 1)
	}
}

// replySource converts the control message of a received packet into that of its answer. (The
// batches on Linux do it in place; this one allocates.)
func (w *udpWorker) replySource(control []byte) []byte {
	if len(control) == 0 {
		return nil
	}
	var v4 ipv4.ControlMessage
	if v4.Parse(control) == nil && v4.Dst != nil {
		return (&ipv4.ControlMessage{Src: v4.Dst}).Marshal()
	}
	var v6 ipv6.ControlMessage
	if v6.Parse(control) == nil && v6.Dst != nil {
		return (&ipv6.ControlMessage{Src: v6.Dst}).Marshal()
	}
	return nil
}
