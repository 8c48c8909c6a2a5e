package probe

import (
	"fmt"
	"net"
	"net/netip"
)

// proxyLocal is the whole version 2 header of a connection that the sender makes for itself: signature, version and command
// LOCAL, no family, no further octets. The receiver uses the connection's own addresses.
const proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// proxyHeader returns the header for a listener that expects the PROXY protocol ("The PROXY protocol", haproxy's
// doc/proxy-protocol.txt, 2.1 and 2.2). Version 1 has no LOCAL: it names the connection's own addresses. UNKNOWN, which
// some servers reject, is only for connections without such addresses.
func proxyHeader(version int, conn net.Conn) string {
	if version == 2 {
		return proxyLocal
	}
	from, fromOK := tcpEnd(conn.LocalAddr())
	to, toOK := tcpEnd(conn.RemoteAddr())
	if !fromOK || !toOK {
		return "PROXY UNKNOWN\r\n"
	}
	family := "TCP4"
	if from.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, from.Addr(), to.Addr(), from.Port(), to.Port())
}

// tcpEnd returns the address of an end of a TCP connection, without a zone.
func tcpEnd(a net.Addr) (netip.AddrPort, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	end := tcp.AddrPort()
	return netip.AddrPortFrom(end.Addr().Unmap().WithZone(""), end.Port()), true
}
