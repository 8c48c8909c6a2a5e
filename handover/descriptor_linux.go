package handover

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// packetSocket is the type of a socket that keeps the bounds of messages, and lets its reader notice the end of the other
// process.
const packetSocket = unix.SOCK_SEQPACKET

// sendDescriptor sends a packet with a descriptor.
func sendDescriptor(to *net.UnixConn, packet []byte, file *os.File) error {
	_, _, err := to.WriteMsgUnix(packet, unix.UnixRights(int(file.Fd())), nil)
	return err
}

// receiveDescriptor receives a packet into buffer, with its descriptor; nil: it has none.
func receiveDescriptor(from *net.UnixConn, buffer []byte) (n int, file *os.File, err error) {
	control := make([]byte, unix.CmsgSpace(4))
	n, controls, _, _, err := from.ReadMsgUnix(buffer, control)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil || len(messages) == 0 {
		return n, nil, nil //nolint:nilerr // the caller skips it
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return n, nil, nil //nolint:nilerr // the caller skips it
	}
	closeOnExec(fds[0])
	return n, os.NewFile(uintptr(fds[0]), "connection"), nil
}
