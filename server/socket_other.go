//go:build !linux

package server

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// reusePort is false: on other systems all packets go to one of the sockets that share a port.
// Each address has one worker.
const reusePort = false

// prepareUDP has no options to set.
func prepareUDP(_, _ string, _ syscall.RawConn) error { return nil }

// SharePort has no options to set: sharing a bound port differs between systems.
func SharePort(_ syscall.RawConn) error { return nil }

// completeUDP sets the buffers, and the packet's destination address on wildcard sockets.
func completeUDP(conn *net.UDPConn, addr netip.Addr) error {
	_ = conn.SetReadBuffer(socketBuffer) // fails beyond the system's limit; the default remains
	_ = conn.SetWriteBuffer(socketBuffer)
	switch {
	case !addr.IsUnspecified():
		return nil
	case addr.Is4():
		return ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
	}
	return ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
}

// bufferSizes returns the requested sizes: other systems do not report the actual ones.
func bufferSizes(*net.UDPConn) (receive, send int) { return socketBuffer, socketBuffer }

// setFragments does nothing: the system decides.
func setFragments(*net.UDPConn, netip.Addr, uint16) {}

// runBatches uses the portable path.
func (w *udpWorker) runBatches() { w.runPortable() }

// leaveGroup does nothing: no sockets share a port.
func leaveGroup(*net.UDPConn) {}

// sendNow sends a packet.
func sendNow(conn *net.UDPConn, out, control []byte, to netip.AddrPort) error {
	_, _, err := conn.WriteMsgUDPAddrPort(out, control, to)
	return err
}
