package server

import "golang.org/x/sys/unix"

const (
	// sendWait is how long a worker waits for room in its socket's buffer, in milliseconds.
	// It bridges bursts that are faster than the network card.
	sendWait = 1
	// sendWaits is how often a worker waits within one batch of answers.
	sendWaits = 3
)

// sendRoom waits for room in the send buffer of a socket, for a bounded time, because a worker
// that waits receives nothing.
//
// Packets to neighbours that do not answer ARP or neighbour discovery stay in the buffer for
// seconds. A buffer that is full of them gets no room by waiting:
//
//	the last wait    a full buffer
//	brought room     is waited for
//	brought none     is not waited for, until a whole batch of answers could be sent
type sendRoom struct {
	wait  int  // in milliseconds
	waits int  // at most, within one batch
	full  bool // the last wait brought no room
	poll  [1]unix.PollFd
}

func newSendRoom() sendRoom { return sendRoom{wait: sendWait, waits: sendWaits} }

// await reports whether there is room in the buffer of fd.
func (r *sendRoom) await(fd uintptr) bool {
	if r.full {
		return false
	}
	r.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, err := unix.Poll(r.poll[:], r.wait)
	r.full = err == nil && n == 0
	return !r.full
}
