package probe

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// connectAtOnce starts a connection to a TCP port and returns the error of connect(2), without waiting for the peer; nil if
// the attempt has begun, which it then abandons. It costs at most one SYN, and only after an attempt has failed.
func connectAtOnce(source netip.Addr, to netip.AddrPort) error {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if source.IsValid() {
		if err := unix.Bind(fd, socketAddr(netip.AddrPortFrom(source, 0))); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, socketAddr(to)); err != unix.EINPROGRESS {
		return err
	}
	return nil
}

func socketAddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	}
	return &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
}

// bindWithoutPort delays the kernel's choice of a port, for a socket with a source address, until it connects: then one
// port serves connections to many endpoints, and the ports of one source address do not run out at thousands of probes a
// minute.
func bindWithoutPort(_, _ string, conn syscall.RawConn) error {
	return conn.Control(func(fd uintptr) {
		// An old kernel without the option binds a port at once.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
}
