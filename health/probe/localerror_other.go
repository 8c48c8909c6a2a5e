//go:build !linux

package probe

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// connectAtOnce looks up the route to an address by connecting a datagram socket, which sends nothing, and returns its
// error; nil if there is a route.
func connectAtOnce(source netip.Addr, to netip.AddrPort) error {
	var from *net.UDPAddr
	if source.IsValid() {
		from = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	conn, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(to))
	if err != nil {
		var number syscall.Errno
		if errors.As(err, &number) {
			return number
		}
		return err
	}
	conn.Close()
	return nil
}

// bindWithoutPort does nothing: only Linux has the option.
func bindWithoutPort(_, _ string, _ syscall.RawConn) error { return nil }
