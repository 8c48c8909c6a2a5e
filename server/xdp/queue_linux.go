package xdp

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	batchSize = 64
	// sendTries bounds the system calls that send the answers of a batch: one sends 32 frames where they are copied.
	sendTries = 8
	// resendPause is the wait before answers are sent again that the interface had no room for.
	resendPause = time.Millisecond
)

// longAgo is a deadline that wakes a goroutine waiting for a socket.
var longAgo = time.Unix(1, 0)

// Queue is a receive queue of a link with the socket that answers it.
type Queue struct {
	*socket
	link     *Link
	unsent   atomic.Uint64
	refused  [BadChecksum + 1]atomic.Uint64 // by verdict
	stopping atomic.Bool
	packet   Packet
}

// stop makes run answer the packets received so far and return.
func (q *Queue) stop() {
	q.stopping.Store(true)
	_ = q.file.SetReadDeadline(longAgo) // it fails on a closed file only
}

// run answers the packets of the queue until stop.
func (q *Queue) run(h Handler) {
	defer h.End()
	raw, err := q.file.SyscallConn()
	if err != nil {
		return // it is closed
	}
	ready := func(uintptr) bool { return q.received.available() > 0 }
	for !q.stopping.Load() {
		err := raw.Read(ready)
		for q.answerBatch(h) == batchSize {
		}
		if q.send() && err == nil {
			continue
		}
		q.waitLater(err)
	}
	for q.answerBatch(h) > 0 {
	}
}

// waitLater sets the next deadline, after a wait that was ended by err or while the interface has no room for answers: they are
// sent again after a pause, even if no packet comes.
func (q *Queue) waitLater(err error) {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(10 * resendPause) // of a broken socket, until the link is closed
	}
	var end time.Time // none
	if q.sent.pending() > 0 {
		end = time.Now().Add(resendPause)
	}
	_ = q.file.SetReadDeadline(end)
	if q.stopping.Load() {
		_ = q.file.SetReadDeadline(longAgo)
	}
}

// answerBatch answers up to batchSize received packets and returns their number.
func (q *Queue) answerBatch(h Handler) int {
	n := min(q.received.available(), batchSize)
	if n == 0 {
		return 0
	}
	q.reclaim()
	h.BeginBatch()
	for range n {
		d := q.received.next()
		q.answer(h, q.frames[d.Addr:d.Addr+uint64(d.Len)])
		q.fill.put(d.Addr - d.Addr%uint64(q.size))
	}
	q.received.consumed()
	q.fill.produced()
	q.sent.produced()
	q.send()
	h.EndBatch(n)
	if q.fill.needsWakeup() {
		q.wakeReceiver()
	}
	return n
}

// reclaim makes the frames of sent answers free.
func (q *Queue) reclaim() {
	n := q.done.available()
	for range n {
		q.free = append(q.free, q.done.next())
	}
	if n > 0 {
		q.done.consumed()
	}
}

// answer answers the packet in a frame.
func (q *Queue) answer(h Handler, frame []byte) {
	p := &q.packet
	if v := p.Parse(frame, q.link.partial); v != Valid {
		q.refused[v].Add(1)
		return
	}
	if len(q.free) == 0 {
		q.unsent.Add(1)
		return
	}
	at := q.free[len(q.free)-1]
	to := q.frame(at)
	begin := p.HeaderSize()
	end := begin + max(0, p.room(q.link.mtu))
	out := h.Answer(to[begin:begin:end], p)
	if len(out) == 0 {
		return
	}
	q.free = q.free[:len(q.free)-1]
	p.Reply(to[:begin+len(out)])
	q.sent.put(unix.XDPDesc{Addr: at, Len: uint32(begin + len(out))})
}

// send makes the kernel send the answers in the send ring. It returns false if the interface has no room for all.
func (q *Queue) send() bool {
	for range sendTries {
		if q.sent.pending() == 0 || !q.sent.needsWakeup() {
			return true
		}
		_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
			break // ENOBUFS, EBUSY: no room; others: the interface is down
		}
	}
	return q.sent.pending() == 0
}

// wakeReceiver makes the driver look at the fill ring.
func (q *Queue) wakeReceiver() {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}
