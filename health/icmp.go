package health

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ping is what differs between the two families.
type ping struct {
	datagram, raw  string // networks of package icmp
	any            string // the address to listen on
	protocol       int    // IANA's number
	request, reply icmp.Type
}

func pingOf(addr netip.Addr) ping {
	if addr.Is4() || addr.Is4In6() {
		return ping{"udp4", "ip4:icmp", "0.0.0.0", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	}
	return ping{"udp6", "ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
}

// socket opens an ICMP socket: one that needs no privilege and receives only
// its own replies where the kernel allows that, else a raw one, which receives
// all that comes to this machine; of the source address, if that is valid.
func (p ping) socket(source netip.Addr) (conn *icmp.PacketConn, raw bool, err error) {
	at := p.any
	if source.IsValid() {
		at = source.String()
	}
	conn, err = icmp.ListenPacket(p.datagram, at)
	if err == nil {
		return conn, false, nil
	}
	conn, rawErr := icmp.ListenPacket(p.raw, at)
	if rawErr != nil {
		return nil, false, fmt.Errorf("neither a datagram socket for ICMP (%w) nor a raw one (%w)", cause(err), cause(rawErr))
	}
	return conn, true, nil
}

// cause is err without the addresses that the socket would have had.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// prepareICMP tries whether this machine lets us ping at all.
func (c *preparedCheck) prepareICMP() []checkError {
	var errs []error
	for _, addr := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		conn, _, err := pingOf(addr).socket(netip.Addr{})
		if err == nil {
			conn.Close()
			return nil
		}
		errs = append(errs, err)
	}
	return []checkError{{
		c.check.Pos, "type", fmt.Sprintf("this process may open %v", errs[0]),
		"on Linux give it CAP_NET_RAW, or have net.ipv4.ping_group_range hold its group",
	}}
}

// probeICMP passes when the address answers an echo request (RFC 792; RFC 4443
// section 4).
func probeICMP(ctx context.Context, t *attempt) (string, error) {
	t.doing = "opening a socket"
	p := pingOf(t.addr)
	conn, raw, err := p.socket(t.source())
	if err != nil {
		return "", localError{err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	echo := newEcho()
	request, err := (&icmp.Message{Type: p.request, Body: echo}).Marshal(nil) // for IPv6 the kernel sums up
	if err != nil {
		return "", fmt.Errorf("packing the echo request: %w", err)
	}
	t.doing = "sending the echo request"
	if _, err := conn.WriteTo(request, t.pingAddr(raw)); err != nil {
		return "", localError{err} // the kernel reports what routers and the peer say only to connected sockets
	}
	t.doing = "waiting for the echo reply"
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return "", err
		}
		if addrOf(from) == t.addr.Unmap().WithZone("") && p.echoes(buffer[:n], echo, raw) {
			return "echo reply", nil
		}
	}
}

// newEcho is an echo request that no other probe makes: what it carries comes
// back, and cannot be guessed.
func newEcho() *icmp.Echo {
	data := make([]byte, 16)
	rand.Read(data)
	return &icmp.Echo{ID: int(binary.BigEndian.Uint16(data)), Seq: 1, Data: data}
}

// echoes reports whether message is the reply to echo. A datagram socket puts
// an id of its own in place of ours, and gets replies to that alone.
func (p ping) echoes(message []byte, echo *icmp.Echo, raw bool) bool {
	parsed, err := icmp.ParseMessage(p.protocol, message)
	if err != nil || parsed.Type != p.reply {
		return false
	}
	reply, ok := parsed.Body.(*icmp.Echo)
	return ok && (reply.ID == echo.ID || !raw) && reply.Seq == echo.Seq && bytes.Equal(reply.Data, echo.Data)
}

// pingAddr is the target in the form that a socket takes.
func (t *attempt) pingAddr(raw bool) net.Addr {
	ip, zone := t.addr.Unmap().AsSlice(), t.addr.Zone()
	if raw {
		return &net.IPAddr{IP: ip, Zone: zone}
	}
	return &net.UDPAddr{IP: ip, Zone: zone}
}

// addrOf is where a message came from.
func addrOf(from net.Addr) netip.Addr {
	var ip net.IP
	switch from := from.(type) {
	case *net.UDPAddr:
		ip = from.IP
	case *net.IPAddr:
		ip = from.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
