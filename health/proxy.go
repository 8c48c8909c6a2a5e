package health

import (
	"fmt"
	"net"
	"net/netip"
)

// proxyLocal is the whole header of version 2 for a connection that the sender
// makes on its own behalf: signature, version and command LOCAL, no family, no
// further octets. The receiver goes by the connection itself.
const proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// proxyHeader is what a listener that takes the PROXY protocol is sent first
// ("The PROXY protocol", haproxy's doc/proxy-protocol.txt, 2.1 and 2.2). Version 1
// has no word for LOCAL: it names the connection's own ends. UNKNOWN, which some
// servers reject, is left for connections that have no such ends.
func proxyHeader(version int, conn net.Conn) string {
	if version == 2 {
		return proxyLocal
	}
	from, fromOK := endOf(conn.LocalAddr())
	to, toOK := endOf(conn.RemoteAddr())
	if !fromOK || !toOK {
		return "PROXY UNKNOWN\r\n"
	}
	family := "TCP4"
	if from.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, from.Addr(), to.Addr(), from.Port(), to.Port())
}

// endOf is an end of a connection over TCP, without a zone.
func endOf(a net.Addr) (netip.AddrPort, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	end := tcp.AddrPort()
	return netip.AddrPortFrom(end.Addr().Unmap().WithZone(""), end.Port()), true
}
