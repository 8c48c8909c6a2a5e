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

// completeUDP sets the rest: buffers, and the address that was asked on wildcard sockets.
func completeUDP(conn *net.UDPConn, addr netip.Addr) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return setOptions(raw, func(fd int) error {
		setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
		setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
		switch {
		case !addr.IsUnspecified():
			return nil
		case addr.Is4():
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
}

// setFragments says how answers of at most size octets may travel. Whatever ICMP
// messages say of the path is ignored, since anybody can forge them.
//
//	family  size                    answers
//	IPv4    fits every path         do not fragment, on no router (RFC 9715 3.1 R2), and need no number for it, which
//	                                costs every packet a hash and a write to memory that all sockets share
//	IPv4    may not                 are fragmented here and there
//	IPv6    any                     are fragmented here alone, where the link is too small
func setFragments(conn *net.UDPConn, addr netip.Addr, size uint16) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = setOptions(raw, func(fd int) error { // refused by some sandboxes, and not vital
		switch {
		case !addr.Is4():
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
		case size <= wholeSize:
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	})
}

// wholeSize is the most octets of UDP that a path of the least MTU of IPv6 takes in one
// piece, as nearly every path of IPv4 does (DNS flag day 2020).
const wholeSize = 1280 - 40 - 8

// setBuffer asks for socketBuffer beyond the system's limit, which root may,
// else for as much as the limit allows.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer) // it clips, it does not fail
	}
}

// bufferSizes returns the sizes of the buffers of a socket, as it asked for them: the kernel
// counts its own part in, and reports twice as much (socket(7)).
func bufferSizes(conn *net.UDPConn) (receive, send int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return socketBuffer, socketBuffer // it is closed
	}
	err = setOptions(raw, func(fd int) (err error) {
		if receive, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			send, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		}
		return err
	})
	if err != nil {
		return socketBuffer, socketBuffer // refused by some sandboxes
	}
	return receive / 2, send / 2
}

func setOptions(raw syscall.RawConn, set func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = set(int(fd)) }); err != nil {
		return err
	}
	return failed
}
