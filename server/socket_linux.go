package server

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort says that several UDP sockets can share an address and the kernel
// spreads the clients over them.
const reusePort = true

// prepareUDP sets what must be set before binding.
func prepareUDP(_, _ string, raw syscall.RawConn) error { return sharePort(raw) }

// sharePort lets other sockets of this user bind the port of a socket, if they ask
// for it too. The socket may be bound already.
func sharePort(raw syscall.RawConn) error {
	return setOptions(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// completeUDP sets the rest: buffers, the address that was asked on wildcard
// sockets, and no path MTU from forged ICMP messages (answers are small enough).
func completeUDP(conn *net.UDPConn, addr netip.Addr) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return setOptions(raw, func(fd int) error {
		setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
		setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
		if addr.Is4() {
			// Refused by some sandboxes, and not vital.
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
		} else {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
		}
		switch {
		case !addr.IsUnspecified():
			return nil
		case addr.Is4():
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
}

// setBuffer asks for socketBuffer beyond the system's limit, which root may,
// else for as much as the limit allows.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer) // it clips, it does not fail
	}
}

func setOptions(raw syscall.RawConn, set func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = set(int(fd)) }); err != nil {
		return err
	}
	return failed
}
