//go:build !linux

package server

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// reusePort is false: other systems let sockets share a port, and give all
// packets to one of them. Each address has one worker.
const reusePort = false

// prepareUDP has nothing to set before binding.
func prepareUDP(_, _ string, _ syscall.RawConn) error { return nil }

// sharePort has nothing to set: what a socket that is bound already shares
// differs from system to system.
func sharePort(_ syscall.RawConn) error { return nil }

// completeUDP sets the buffers, and on wildcard sockets asks for the address
// that each packet was for.
func completeUDP(conn *net.UDPConn, addr netip.Addr) error {
	_ = conn.SetReadBuffer(socketBuffer) // beyond the system's limit it fails: the default is left
	_ = conn.SetWriteBuffer(socketBuffer)
	switch {
	case !addr.IsUnspecified():
		return nil
	case addr.Is4():
		return ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
	}
	return ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
}

// bufferSizes returns what was asked for: other systems do not report what they gave.
func bufferSizes(*net.UDPConn) (receive, send int) { return socketBuffer, socketBuffer }

// setFragments leaves it to the system how answers travel.
func setFragments(*net.UDPConn, netip.Addr, uint16) {}

// runBatches is the portable path where batches are not to be had.
func (w *udpWorker) runBatches() { w.runPortable() }
