package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"meridian/server/answer"

	"golang.org/x/sys/unix"
)

const (
	batchSize = 64
	// batchControl is room for one packet-info message of either family.
	batchControl = 48
)

// batch is the memory of one worker: received messages and answers to send. It is allocated once;
// the kernel reads and writes it in place. An answer uses the header of its query: the same peer
// and the same control message, which holds our address that the query was sent to.
type batch struct {
	raw        syscall.RawConn
	received   []unix.Mmsghdr
	answers    []unix.Mmsghdr
	in, out    []unix.Iovec            // of received and of answers
	names      []unix.RawSockaddrInet6 // of the peers; large enough for IPv4 too
	queries    []byte                  // receiveSize each
	control    []byte                  // batchControl each; empty except on wildcard sockets
	answerBuf  []byte                  // all answers, one after the other
	answerEnds [batchSize]int          // the end of each answer in answerBuf

	n     int            // the number of received messages
	at    int            // the message that is being answered
	errno syscall.Errno  // of the last recvmmsg
	left  []unix.Mmsghdr // of answers, still to be sent
	lost  int            // answers that could not be sent, since flush began
	room  sendRoom

	// Created once: a closure for each call would be garbage.
	receiving func(fd uintptr) bool
	polling   func(fd uintptr)
	sending   func(fd uintptr)
}

func newBatch(raw syscall.RawConn, wildcard bool) *batch {
	b := &batch{
		raw:      raw,
		received: make([]unix.Mmsghdr, batchSize),
		answers:  make([]unix.Mmsghdr, batchSize),
		in:       make([]unix.Iovec, batchSize),
		out:      make([]unix.Iovec, batchSize),
		names:    make([]unix.RawSockaddrInet6, batchSize),
		queries:  make([]byte, batchSize*receiveSize),
	}
	if wildcard {
		b.control = make([]byte, batchSize*batchControl)
	}
	for i := range b.received {
		b.in[i].Base = &b.queries[i*receiveSize]
		b.in[i].SetLen(receiveSize)
		h := &b.received[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.in[i]
		h.SetIovlen(1)
		if wildcard {
			h.Control = &b.control[i*batchControl]
		}
		b.rearm(i)
	}
	b.receiving = func(fd uintptr) bool { b.receive(fd); return b.errno != unix.EAGAIN }
	b.polling = b.receive
	b.sending = b.sendAll
	b.room = newSendRoom()
	return b
}

// rearm restores the lengths in header i that the kernel changed.
func (b *batch) rearm(i int) {
	h := &b.received[i].Hdr
	h.Namelen = unix.SizeofSockaddrInet6
	if len(b.control) > 0 {
		h.SetControllen(batchControl)
	}
}

// receive reads up to a whole batch from the socket. It does not block: a blocking raw call would
// delay the garbage collector.
func (b *batch) receive(fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.received[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		b.n, b.errno = int(n), errno
		if errno != 0 {
			b.n = 0
		}
		if errno != unix.EINTR {
			return
		}
	}
}

// send sends the answers that are left, and returns false if the socket's buffer is full. Any
// other error belongs to the first packet that is left; it is dropped.
func (b *batch) send(fd uintptr) bool {
	for len(b.left) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.left[0])), uintptr(len(b.left)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0 && n > 0:
			b.left = b.left[n:]
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return false
		default:
			b.lost++
			b.left = b.left[1:]
		}
	}
	return true
}

// runBatches answers batches until drain, then drains the socket.
func (w *udpWorker) runBatches() {
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return // the socket is closed
	}
	b := newBatch(raw, w.wildcard)
	w.returnPath = b.returnPath
	w.serveBatches(b)
}

// serveBatches is runBatches on b.
func (w *udpWorker) serveBatches(b *batch) {
	for !w.stopping.Load() {
		if err := w.receiveBatch(b); err != nil || b.errno != 0 {
			w.pause(err)
			continue
		}
		w.answerBatch(b)
	}
	for ; time.Now().Before(w.end); w.answerBatch(b) {
		if err := b.raw.Control(b.polling); err != nil || b.n == 0 {
			return
		}
	}
}

// receiveBatch waits for packets. While queries wait for signatures it asks the socket each time that it gets a processor:
// the runtime asks the network poller only every 10 ms if other goroutines, such as those that sign, can always run.
func (w *udpWorker) receiveBatch(b *batch) error {
	for len(w.server.postponed) > 0 && !w.stopping.Load() {
		if err := b.raw.Control(b.polling); err != nil || b.errno != unix.EAGAIN {
			return err
		}
		runtime.Gosched()
	}
	return b.raw.Read(b.receiving)
}

// pause prevents a busy loop on a failing socket.
func (w *udpWorker) pause(err error) {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(receivePause)
	}
}

// answerBatch answers the received messages, and sends all answers with one call.
func (w *udpWorker) answerBatch(b *batch) {
	count := 0
	b.answerBuf = b.answerBuf[:0]
	w.responder.StartTiming()
	w.responder.Acquire()
	for i := range b.n {
		begin := len(b.answerBuf)
		b.answerBuf = w.answerMessage(b, i)
		if len(b.answerBuf) > begin {
			b.answers[count].Hdr = b.received[i].Hdr
			b.answerEnds[count] = len(b.answerBuf)
			count++
		}
		b.rearm(i)
	}
	w.responder.Release()
	b.setIovecs(count)
	if lost, noRoom := b.flush(); lost > 0 {
		w.server.Count(answer.SendFailed, uint64(lost-noRoom))
		w.server.Count(answer.Unsent, uint64(noRoom))
	}
	w.responder.EndTiming(answer.UDP, b.n)
}

// flush sends the answers that are left, and returns how many could not be sent, and how many of
// these found no room in the socket's buffer.
func (b *batch) flush() (lost, noRoom int) {
	b.lost = 0
	if err := b.raw.Control(b.sending); err != nil { // the socket is closed
		return len(b.left), 0
	}
	return b.lost + len(b.left), len(b.left)
}

// sendAll sends the answers that are left, as far as the socket's buffer has room.
func (b *batch) sendAll(fd uintptr) {
	for waits := 0; !b.send(fd); waits++ {
		if waits == b.room.waits || !b.room.await(fd) {
			return
		}
	}
	b.room.full = false
}

// answerMessage appends the answer to the i-th message to answerBuf.
func (w *udpWorker) answerMessage(b *batch, i int) []byte {
	m := &b.received[i]
	b.at = i
	source, ok := b.source(i)
	w.responder.Port = b.port(i)
	switch {
	case !ok:
		w.responder.CountEvent(answer.NoReturn)
		return b.answerBuf
	case m.Hdr.Flags&unix.MSG_TRUNC != 0:
		w.responder.CountEvent(answer.TooLong)
		return b.answerBuf
	}
	return w.responder.Answer(b.answerBuf, b.queries[i*receiveSize:][:m.Len], source, false)
}

// source returns the source of the i-th message. ok is false for port 0, which cannot be
// answered.
func (b *batch) source(i int) (addr netip.Addr, ok bool) {
	name := &b.names[i]
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrFrom4(v4.Addr), v4.Port != 0
	}
	return netip.AddrFrom16(name.Addr).Unmap(), name.Port != 0
}

// returnPath returns the source of the current message, and the control message of an answer that is sent on its own.
func (b *batch) returnPath() (netip.AddrPort, []byte) {
	addr, _ := b.source(b.at)
	if addr.IsLinkLocalUnicast() && addr.Is6() {
		addr = addr.WithZone(strconv.FormatUint(uint64(b.names[b.at].Scope_id), 10))
	}
	h := &b.received[b.at].Hdr
	if len(b.control) == 0 || h.Controllen == 0 {
		return netip.AddrPortFrom(addr, b.port(b.at)), nil
	}
	control := bytes.Clone(unsafe.Slice(h.Control, h.Controllen))
	clearInterface(control)
	return netip.AddrPortFrom(addr, b.port(b.at)), control
}

// port returns the source Port of the i-th message, which is in network byte order at one offset for both families.
func (b *batch) port(i int) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&b.names[i].Port))[:])
}

// setIovecs points the headers of the first count answers at their data in answerBuf, which is
// complete and does not move any more.
func (b *batch) setIovecs(count int) {
	begin := 0
	for i := range count {
		h := &b.answers[i].Hdr
		b.out[i].Base = &b.answerBuf[begin]
		b.out[i].SetLen(b.answerEnds[i] - begin)
		h.Iov, h.Flags = &b.out[i], 0
		if len(b.control) > 0 {
			clearInterface(unsafe.Slice(h.Control, h.Controllen))
		}
		begin = b.answerEnds[i]
	}
	b.left = b.answers[:count]
}

// clearInterface clears the interface in a packet-info message and keeps our address, so that the
// route decides on the interface of the answer. It keeps the interface for link-local peers.
func clearInterface(control []byte) {
	const (
		v4Interface = unix.SizeofCmsghdr      // in struct in_pktinfo
		v6Interface = unix.SizeofCmsghdr + 16 // in struct in6_pktinfo
	)
	switch {
	case len(control) < unix.SizeofCmsghdr+unix.SizeofInet4Pktinfo:
	case len(control) < unix.SizeofCmsghdr+unix.SizeofInet6Pktinfo:
		clear(control[v4Interface:][:4])
	default:
		address := netip.AddrFrom16([16]byte(control[unix.SizeofCmsghdr:]))
		if !address.IsLinkLocalUnicast() {
			clear(control[v6Interface:][:4])
		}
	}
}
