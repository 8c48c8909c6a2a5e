package probe

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

// ping holds the differences between the two address families.
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

// socket opens an ICMP socket: an unprivileged one, which receives only its own replies, if the kernel allows that; else a
// raw one, which receives all ICMP for this machine. It binds to source if that is valid.
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
		return nil, false, fmt.Errorf("neither a datagram socket for ICMP (%w) nor a raw one (%w)", trimAddress(err), trimAddress(rawErr))
	}
	return conn, true, nil
}

// trimAddress removes the socket's addresses from err.
func trimAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// prepareICMP checks that this machine permits ICMP sockets.
func (c *Check) prepareICMP() []Problem {
	var errs []error
	for _, addr := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		conn, _, err := pingOf(addr).socket(netip.Addr{})
		if err == nil {
			conn.Close()
			return nil
		}
		errs = append(errs, err)
	}
	return []Problem{{
		c.check.Pos, "type", fmt.Sprintf("cannot ping: this process may open %v", errs[0]),
		"on Linux grant it CAP_NET_RAW, or include its group in net.ipv4.ping_group_range",
	}}
}

// probeICMP passes if the address answers an echo request (RFC 792; RFC 4443 section 4).
func probeICMP(ctx context.Context, t *attempt) (string, error) {
	t.begin("socket", "opening a socket")
	p := pingOf(t.addr)
	conn, raw, err := p.socket(t.source())
	if err != nil {
		return "", localError{err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	echo := newEcho()
	request, err := (&icmp.Message{Type: p.request, Body: echo}).Marshal(nil) // for IPv6 the kernel adds the checksum
	if err != nil {
		return "", fmt.Errorf("packing the echo request: %w", err)
	}
	t.begin("request", "sending the echo request")
	if _, err := conn.WriteTo(request, t.pingAddr(raw)); err != nil {
		return "", localError{err} // the kernel reports errors of routers and the peer only to connected sockets
	}
	t.begin("response", "waiting for the echo reply")
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

// newEcho returns an echo request that is unique to this probe: its data comes back, and cannot be guessed.
func newEcho() *icmp.Echo {
	data := make([]byte, 16)
	rand.Read(data)
	return &icmp.Echo{ID: int(binary.BigEndian.Uint16(data)), Seq: 1, Data: data}
}

// echoes reports whether message is the reply to echo. A datagram socket replaces our id by its own, and gets only replies
// to that.
func (p ping) echoes(message []byte, echo *icmp.Echo, raw bool) bool {
	parsed, err := icmp.ParseMessage(p.protocol, message)
	if err != nil || parsed.Type != p.reply {
		return false
	}
	reply, ok := parsed.Body.(*icmp.Echo)
	return ok && (reply.ID == echo.ID || !raw) && reply.Seq == echo.Seq && bytes.Equal(reply.Data, echo.Data)
}

// pingAddr returns the target as the socket's address type.
func (t *attempt) pingAddr(raw bool) net.Addr {
	ip, zone := t.addr.Unmap().AsSlice(), t.addr.Zone()
	if raw {
		return &net.IPAddr{IP: ip, Zone: zone}
	}
	return &net.UDPAddr{IP: ip, Zone: zone}
}

// addrOf returns the source address of a message.
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
