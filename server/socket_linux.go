package server

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort says that UDP sockets can share an address and the kernel distributes clients over
// them.
const reusePort = true

// prepareUDP sets the options needed before binding.
func prepareUDP(_, _ string, raw syscall.RawConn) error { return SharePort(raw) }

// SharePort lets other sockets of this user bind the same port if they request it too. The socket
// may already be bound.
func SharePort(raw syscall.RawConn) error {
	return setOptions(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// completeUDP sets the other options: buffers, and the packet's destination address on wildcard
// sockets.
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

// setFragments sets the fragmentation of answers of at most size octets. ICMP messages about the
// path are ignored, because they can be forged.
//
//	family  size                  answers
//	IPv4    fits every path       are not fragmented by any router (RFC 9715 3.1 R2), and need no IP ID, which costs
//	                              every packet a hash and a write to memory shared by all sockets
//	IPv4    larger                may be fragmented by the host and by routers
//	IPv6    any                   may be fragmented by the host, if the link requires it
func setFragments(conn *net.UDPConn, addr netip.Addr, size uint16) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // the socket is closed
	}
	_ = setOptions(raw, func(fd int) error { // some sandboxes refuse it; it is not vital
		switch {
		case !addr.Is4():
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
		case size <= wholeSize:
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	})
}

// wholeSize is the largest UDP payload for a path with the minimum MTU of IPv6, valid on nearly
// every IPv4 path too (DNS flag day 2020).
const wholeSize = 1280 - 40 - 8

// setBuffer requests socketBuffer beyond the system's limit, as root may do, and otherwise up to
// the limit.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer) // it clips and does not fail
	}
}

// bufferSizes returns the buffer sizes of a socket as requested. The kernel reports twice as
// much, because it includes its own overhead (socket(7)).
func bufferSizes(conn *net.UDPConn) (receive, send int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return socketBuffer, socketBuffer // the socket is closed
	}
	err = setOptions(raw, func(fd int) (err error) {
		if receive, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			send, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		}
		return err
	})
	if err != nil {
		return socketBuffer, socketBuffer // some sandboxes refuse it
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

// leaveGroup makes the kernel assign no more packets to a socket that shares its port. Those that wait in it stay: the
// socket is connected to an address that sends nothing, and connected sockets take no part in the distribution. An
// answer still goes to the address that it names.
func leaveGroup(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // it is closed
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	var nowhere unix.Sockaddr = &unix.SockaddrInet6{Port: discardPort, Addr: netip.IPv6Loopback().As16()}
	if local.Is4() {
		nowhere = &unix.SockaddrInet4{Port: discardPort, Addr: [4]byte{127, 0, 0, 1}}
	}
	_ = setOptions(raw, func(fd int) error { return unix.Connect(fd, nowhere) }) // if it fails, packets of this moment may be lost
}

// discardPort is a port that sends nothing (RFC 863).
const discardPort = 9

// sendNow sends a packet. It does not wait for room in the socket: then it returns EAGAIN.
func sendNow(conn *net.UDPConn, out, control []byte, to netip.AddrPort) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if to.Addr().Is4() {
		peer = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return setOptions(raw, func(fd int) error {
		_, err := unix.SendmsgN(fd, out, control, peer, unix.MSG_DONTWAIT)
		return err
	})
}
