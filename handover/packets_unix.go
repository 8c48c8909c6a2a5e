//go:build unix && !linux

package handover

import "golang.org/x/sys/unix"

// packetSocket is any socket: no connections are passed.
const packetSocket = unix.SOCK_STREAM
