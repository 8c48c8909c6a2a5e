//go:build unix

package handover

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// channel returns the two ends of a connection between processes. With packets it keeps the bounds of messages, where
// the system supports that.
func channel(packets bool) (ours *net.UnixConn, theirs *os.File, err error) {
	kind := unix.SOCK_STREAM
	if packets {
		kind = packetSocket
	}
	syscall.ForkLock.RLock() // no process must inherit the descriptors before closeOnExec
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err == nil {
		closeOnExec(fds[0])
		closeOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("connection to the new process: %w", err)
	}
	file := os.NewFile(uintptr(fds[0]), "successor")
	defer file.Close()
	theirs = os.NewFile(uintptr(fds[1]), "predecessor")
	conn, err := net.FileConn(file)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("connection to the new process: %w", err)
	}
	return conn.(*net.UnixConn), theirs, nil // socketpair makes no other
}

// duplicate returns another descriptor of a file or socket. The File method of a connection would not do: the
// descriptor that it returns makes the socket blocking for all that share it.
func duplicate(of syscall.Conn) (*os.File, error) {
	raw, err := of.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied int
	var failed error
	err = raw.Control(func(fd uintptr) { copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstFD) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), "duplicate"), nil
}

func closeOnExec(fd int) { unix.CloseOnExec(fd) }
