package server

import "golang.org/x/sys/unix"

const (
	// sendWait is the time that a worker waits for room in its socket's buffer, in milliseconds.
	// It bridges bursts that are faster than the network card.
	sendWait = 1
	// sendWaits is the maximum number of waits within one batch of answers.
	sendWaits = 3
)

// sendRoom waits for room in the send buffer of a socket, for a bounded time, because a waiting
// worker receives nothing.
//
// Packets to neighbours that do not answer ARP or neighbour discovery stay in the buffer for
// seconds. Waiting does not help with a buffer full of them:
//
//	the last wait    with a full buffer
//	brought room     wait
//	brought none     do not wait until a whole batch of answers could be sent
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
