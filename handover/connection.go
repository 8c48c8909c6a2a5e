package handover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// connection is a TCP connection that is passed, as the packet that its descriptor comes with.
type connection struct {
	at       netip.AddrPort // the address that it was accepted at, as configured
	received []byte         // and not answered
}

// maxReceived is the largest part of a query that is passed: a whole one with its length.
const maxReceived = 2 + 1<<16

// encode returns the packet: the length of the address, the address, and the bytes.
func (c *connection) encode() ([]byte, error) {
	address, err := c.at.MarshalBinary()
	if err != nil || len(address) > 255 || len(c.received) > maxReceived {
		return nil, fmt.Errorf("connection at %s with %d bytes cannot be passed", c.at, len(c.received))
	}
	return append(append([]byte{byte(len(address))}, address...), c.received...), nil
}

// decodeConnection is the reverse of encode.
func decodeConnection(packet []byte) (c connection, err error) {
	if len(packet) == 0 || len(packet) < 1+int(packet[0]) {
		return c, errors.New("the packet of a passed connection is too short")
	}
	rest := packet[1:]
	if err := c.at.UnmarshalBinary(rest[:packet[0]]); err != nil {
		return c, fmt.Errorf("address of a passed connection: %w", err)
	}
	c.received = rest[packet[0]:]
	return c, nil
}

// Pass passes a TCP connection, with what was received and not answered. It fails at the deadline, which is the same for
// all connections, if the successor does not receive it. The caller still closes its own descriptor.
func (s *Successor) Pass(at netip.AddrPort, conn *net.TCPConn, received []byte, deadline time.Time) error {
	packet, err := (&connection{at, received}).encode()
	if err != nil {
		return err
	}
	file, err := duplicate(conn)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := s.connections.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return sendDescriptor(s.connections, packet, file)
}

// Receive calls adopt with each connection that the predecessor passes, until that has ended.
func (p *Predecessor) Receive(adopt func(at netip.AddrPort, conn *net.TCPConn, received []byte)) {
	defer p.connections.Close()
	buffer := make([]byte, 256+maxReceived)
	for {
		n, file, err := receiveDescriptor(p.connections, buffer)
		if err != nil {
			return
		}
		passed, err := decodeConnection(buffer[:n])
		switch {
		case file == nil:
			continue
		case err != nil:
			_ = file.Close()
			continue
		}
		if conn := connectionOf(file); conn != nil {
			adopt(passed.at, conn, passed.received)
		}
	}
}

// connectionOf returns the TCP connection of a descriptor, which it closes; nil: it is of none, or of one that the
// client has reset, which has no remote address any more.
func connectionOf(file *os.File) *net.TCPConn {
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return nil
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || tcp.RemoteAddr() == nil {
		_ = conn.Close() // no query can be lost with it
		return nil
	}
	return tcp
}
