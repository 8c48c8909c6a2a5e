package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// The networks that sources are in.
const (
	networksIPv4 = 1 << 16 // /24 of 10.0.0.0/8
	networksIPv6 = 1 << 16 // /32 networks of fd00::/16, of which one /48 each is used
)

// batch is the number of queries that one system call sends.
const batch = 64

// source returns the i-th source: an address in a network of its own.
func source(i int) netip.Addr {
	if i < networksIPv4 {
		return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7})
	}
	i -= networksIPv4
	return netip.AddrFrom16([16]byte{0xfd, 0, byte(i >> 8), byte(i), 15: 7})
}

// question is what all ask for. Without EDNS, answers would be of 512 octets at most.
func question(name string) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT).SetEdns0(1232, false)
}

// flood sends for a time, and returns the number of queries sent.
func flood(o options) (sent int64, err error) {
	query, err := question(o.name).Pack()
	if err != nil {
		return 0, err
	}
	var families sync.WaitGroup
	var all atomic.Int64
	split := min(o.sources, networksIPv4)
	ranges, failed := [][2]int{{0, split}, {split, o.sources}}, make([]error, 2)
	end := time.Now().Add(o.duration)
	for family, r := range ranges {
		if r[0] == r[1] {
			continue
		}
		families.Go(func() {
			n, err := floodFrom(r[0], r[1], query, o.servers[family], end, o.rate*(r[1]-r[0])/o.sources)
			all.Add(n)
			failed[family] = err
		})
	}
	families.Wait()
	return all.Load(), errors.Join(failed...)
}

// floodFrom floods from the sources of one family: those from first on, before last. With a rate, it sends
// so many a second.
func floodFrom(first, last int, query []byte, server netip.AddrPort, end time.Time, rate int) (sent int64, err error) {
	v4, network, local := server.Addr().Is4(), "udp6", "[::]:0"
	if v4 {
		network, local = "udp4", "0.0.0.0:0"
	}
	listen := net.ListenConfig{Control: anySource}
	conn, err := listen.ListenPacket(context.Background(), network, local)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	write := ipv6.NewPacketConn(conn).WriteBatch
	if v4 {
		write = ipv4.NewPacketConn(conn).WriteBatch
	}
	messages := copiesOf(query, server)
	begin := time.Now()
	for at := first; time.Now().Before(end); {
		if rate > 0 && float64(sent) > time.Since(begin).Seconds()*float64(rate) {
			time.Sleep(time.Millisecond)
			continue
		}
		for i := range messages {
			messages[i].OOB = from(source(at))
			binary.BigEndian.PutUint16(messages[i].Buffers[0], uint16(at))
			if at++; at == last {
				at = first
			}
		}
		n, err := write(messages, 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EAGAIN) {
			return sent, err
		}
		sent += int64(max(0, n))
	}
	return sent, nil
}

// copiesOf returns a batch of messages with a query. Both families have the same type.
func copiesOf(query []byte, server netip.AddrPort) []ipv4.Message {
	messages := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i] = ipv4.Message{Buffers: [][]byte{append([]byte(nil), query...)}, Addr: net.UDPAddrFromAddrPort(server)}
	}
	return messages
}

// from returns the control message that sets the source of a packet.
func from(source netip.Addr) []byte {
	if source.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: source.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: source.As16()})
}

// anySource lets a socket have any address as its source.
func anySource(network, _ string, raw syscall.RawConn) (err error) {
	if controlled := raw.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}
	}); controlled != nil {
		return controlled
	}
	return err
}
