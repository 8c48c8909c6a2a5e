package server_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"meridian/counterpart"
	"meridian/server"
	"meridian/server/answer/answertest"
	"meridian/server/limit"
)

// The network of this test: all addresses of these routes are local, so that any of them can be a source.
const floodRoutes = `
addr add 192.0.2.53/32 dev lo
addr add 2001:db8:53::53/128 dev lo nodad
route add local 10.0.0.0/8 dev lo
route add local 2001:db8:8000::/33 dev lo
`

const floodConfig = `
server:
  listen: ["192.0.2.53:53", "[2001:db8:53::53]:53"]
  workers: 1
  rate_limit: {rate: 1, instant: 1, slip: 2}
zones:
  gslb.example.com: {file: example.com.zone}
`

const (
	floodSources = 100_000
	floodIPv4    = 1 << 14 // of them: the addresses of a network of 18 bits; the others are /64 networks of two /48
	floodStep    = 1000    // queries that the buffers of all sockets have room for
	floodTurn    = 34      // steps between two turns of the other clients
	floodBuffer  = 4 << 20
)

// floodSource returns the i-th source of the flood.
func floodSource(i int) netip.Addr {
	if i < floodIPv4 {
		return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0x80, byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
}

// TestFloodFromManyNetworks floods a server with queries from forged sources. It answers them with less than it receives.
// Clients of the same networks get their answers: with a cookie over UDP, and without one over TCP.
func TestFloodFromManyNetworks(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	if err := lines(counterpart.Find(t, "ip"), floodRoutes); err != nil {
		counterpart.Missing(t, "no local routes can be made: "+err.Error())
	}
	zone := "$ORIGIN gslb.example.com.\n@ SOA ns1 hostmaster 1 3600 600 86400 30\n@ NS ns1\nns1 A 192.0.2.53\ntext TXT " + strings.Repeat("x", 240) + "\n"
	f := &flood{t: t, s: serveBuilt(t, answertest.Build(t, floodConfig, zone))}
	f.open()
	clients := []*floodClient{f.client("10.0.0.7"), f.client("10.0.63.250"), f.client("2001:db8:8000::7"), f.client("2001:db8:8001::7")}
	for begin := 0; begin < floodSources; {
		for range floodTurn {
			n := min(floodStep, floodSources-begin)
			f.send(n, func(i int) netip.Addr { return floodSource(begin + i) })
			begin += n
		}
		for _, c := range clients {
			f.send(8, func(int) netip.Addr { return c.source })
			c.askWithCookie()
			c.askWithoutCookie()
		}
	}
	if in, out := f.octets, f.answered.Load(); out >= in {
		t.Errorf("the answers to %d queries of %d octets have %d octets", f.sent, in, out)
	}
	for _, c := range clients {
		if c.asked == 0 || c.overTCP == 0 {
			t.Errorf("%s: %d queries with a cookie, and %d over TCP: this tests nothing", c.source, c.asked, c.overTCP)
		}
	}
	if n := f.s.Counters(); n.RateTruncated == 0 || n.RateDropped == 0 || n.Panics > 0 {
		t.Errorf("counters %+v", n)
	}
}

// floodQuestion is the question of all clients.
func floodQuestion() *dns.Msg { return question("text.gslb.example.com.", dns.TypeTXT, "") }

// flood sends queries from many sources, and counts what comes back.
type flood struct {
	t                 *testing.T
	s                 *server.Server
	conns             map[bool]*net.UDPConn // by whether they are for IPv4
	query             []byte
	sent              int
	octets            uint64        // of the queries
	answers, answered atomic.Uint64 // and the octets of the answers
}

// open opens the sockets. They may have any source, and receive the answers to all.
func (f *flood) open() {
	f.query, f.conns = answertest.Packed(f.t, floodQuestion()), map[bool]*net.UDPConn{}
	for v4, any := range map[bool]string{true: "0.0.0.0:0", false: "[::]:0"} {
		config := net.ListenConfig{Control: anySource}
		c, err := config.ListenPacket(f.t.Context(), map[bool]string{true: "udp4", false: "udp6"}[v4], any)
		if errors.Is(err, unix.EPERM) {
			counterpart.Missing(f.t, "no large buffers can be set: "+err.Error())
		}
		if err != nil {
			f.t.Fatal(err)
		}
		conn := c.(*net.UDPConn)
		done := make(chan struct{})
		go func() {
			defer close(done)
			in := make([]byte, 1<<12)
			for {
				n, err := conn.Read(in)
				if err != nil {
					return
				}
				f.answered.Add(uint64(n))
				f.answers.Add(1)
			}
		}()
		f.t.Cleanup(func() {
			_ = conn.Close()
			<-done
		})
		f.conns[v4] = conn
	}
}

// anySource lets a socket have any address as its source, and gives it a large buffer.
func anySource(network, _ string, raw syscall.RawConn) (err error) {
	if controlled := raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, floodBuffer); err != nil {
			return
		}
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

// serverOf returns the address of the server in the family of a source.
func serverOf(source netip.Addr) netip.AddrPort {
	if source.Is4() {
		return netip.MustParseAddrPort("192.0.2.53:53")
	}
	return netip.MustParseAddrPort("[2001:db8:53::53]:53")
}

// send sends a query from each of n sources, and waits for the answers.
func (f *flood) send(n int, sourceOf func(i int) netip.Addr) {
	before, arrived := f.s.Counters(), f.answers.Load()
	for i := range n {
		source := sourceOf(i)
		from := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: source.As16()})
		if source.Is4() {
			from = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: source.As4()})
		}
		if _, _, err := f.conns[source.Is4()].WriteMsgUDPAddrPort(f.query, from, serverOf(source)); err != nil {
			f.t.Fatalf("a query from %s: %v", source, err)
		}
		f.sent++
		f.octets += uint64(len(f.query))
	}
	await(f.t, func() error {
		now, due := f.s.Counters(), uint64(n)
		dropped, got := now.RateDropped-before.RateDropped, f.answers.Load()-arrived
		if now.Queries-before.Queries < due || got < due-dropped {
			return fmt.Errorf("%d answers, and %d queries not answered, of %d", got, dropped, due)
		}
		return nil
	})
}

// await waits for a condition that comes about soon.
func await(t *testing.T, check func() error) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Microsecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// floodClient is a client with an address in a network of the flood.
type floodClient struct {
	flood          *flood
	source         netip.Addr
	conn           net.Conn // over UDP
	cookie         string
	asked, overTCP int // queries with a cookie, and queries over TCP because of TC
}

func (f *flood) client(source string) *floodClient {
	f.t.Helper()
	c := &floodClient{flood: f, source: netip.MustParseAddr(source), cookie: "0123456789abcdef"}
	dialer := net.Dialer{Control: anySource, LocalAddr: &net.UDPAddr{IP: c.source.AsSlice()}}
	var err error
	if c.conn, err = dialer.DialContext(f.t.Context(), "udp", serverOf(c.source).String()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// ask asks over UDP until the server answers.
func (c *floodClient) ask(m *dns.Msg) *dns.Msg {
	t, packet, in := c.flood.t, answertest.Packed(c.flood.t, m), make([]byte, 1<<12)
	for range 20 {
		dropped := c.flood.s.Counters().RateDropped
		if _, err := c.conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		var reply *dns.Msg
		await(t, func() error {
			_ = c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			n, err := c.conn.Read(in)
			if err == nil {
				reply = new(dns.Msg)
				if err := reply.Unpack(in[:n]); err != nil || reply.Id != m.Id {
					t.Fatalf("%s: %x: %v", c.source, in[:n], err)
				}
			} else if c.flood.s.Counters().RateDropped == dropped {
				return fmt.Errorf("%s: %w", c.source, err)
			}
			return nil
		})
		if reply != nil {
			return reply
		}
	}
	t.Fatalf("%s: no answer to 20 queries", c.source)
	return nil
}

// askWithCookie asks twice, with the cookie of the last answer. Once it has one of the server, all queries are answered.
func (c *floodClient) askWithCookie() {
	for range 2 {
		m, known := floodQuestion(), len(c.cookie) == 2*limit.CookieSize
		answertest.WithOptions(m, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c.cookie})
		before := c.flood.s.Counters().Queries
		reply := c.ask(m)
		if used := c.flood.s.Counters().Queries - before; known && (used != 1 || len(reply.Answer) != 1 || reply.Truncated) {
			c.flood.t.Errorf("%s, with a cookie: %d queries, %v", c.source, used, reply)
		}
		if known {
			c.asked++
		}
		for _, o := range reply.IsEdns0().Option {
			if o, ok := o.(*dns.EDNS0_COOKIE); ok {
				c.cookie = o.Cookie
			}
		}
	}
}

// askWithoutCookie asks over UDP, and over TCP after TC.
func (c *floodClient) askWithoutCookie() {
	reply, err := c.ask(floodQuestion()), error(nil)
	if reply.Truncated {
		c.overTCP++
		over := dns.Client{Net: "tcp", Timeout: 10 * time.Second, Dialer: &net.Dialer{Control: anySource, LocalAddr: &net.TCPAddr{IP: c.source.AsSlice()}}}
		reply, _, err = over.ExchangeContext(c.flood.t.Context(), floodQuestion(), serverOf(c.source).String())
	}
	if err != nil || len(reply.Answer) != 1 || reply.Truncated {
		c.flood.t.Errorf("%s, without a cookie: %v, %v", c.source, reply, err)
	}
}
