package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// The client in tests of PROXY headers is in region ap, and the sources that send them are in none.
const (
	proxiedClient = "127.0.0.7"
	proxiedAnswer = "192.0.2.3"
)

// proxiedWorld is encryptedWorld with server.proxy: connections from 127.0.0.1 begin with a header.
func proxiedWorld(t *testing.T) (*snapshot.Snapshot, *tls.Config) {
	t.Helper()
	s, roots := encryptedWorld(t, "10.7.0.0/16", "127.0.0.7/32", "nsid: test", "nsid: test, proxy: {from: [127.0.0.1/32]}")
	for _, addrs := range []*[]netip.AddrPort{&s.Config.Server.ListenTLS, &s.Config.Server.HTTPS.Addresses} {
		*addrs = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	}
	return s, &tls.Config{RootCAs: roots, ServerName: "dns.example"}
}

// proxyHeader returns a header for a client.
func proxyHeader(client string) []byte {
	v4 := netip.MustParseAddr(client).As4()
	header := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"), v4[:]...)
	return append(header, 127, 0, 0, 1, 0x30, 0x39, 0, 53)
}

// checkProxied checks that an answer is for the client of a header.
func checkProxied(t *testing.T, what string, m *dns.Msg) {
	t.Helper()
	if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != proxiedAnswer {
		t.Errorf("%s: %v", what, m)
	}
}

func askWWW(t *testing.T) []byte {
	t.Helper()
	return answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
}

// TestProxiedUDP sends packets with and without a header, and a header from a source that must send none.
func TestProxiedUDP(t *testing.T) {
	bothWays(t, func(t *testing.T, portable bool) {
		world, _ := proxiedWorld(t)
		s := serve(t, world, portable, "127.0.0.1:0")
		conn := dial(t, "udp", s.Addrs()[0])
		if _, err := conn.Write(askWWW(t)); err != nil {
			t.Fatal(err)
		}
		other, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 7)}, net.UDPAddrFromAddrPort(s.Addrs()[0]))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		_ = other.SetDeadline(time.Now().Add(eventTimeout))
		if _, err := other.Write(append(proxyHeader("203.0.113.9"), askWWW(t)...)); err != nil {
			t.Fatal(err)
		}
		checkProxied(t, "with a header", askUDP(t, conn, append(proxyHeader(proxiedClient), askWWW(t)...)))
		checkProxied(t, "from another source", askUDP(t, other, askWWW(t)))
		if n := s.Counters(); n.Proxy.Missing != 1 || n.Proxy.Untrusted != 1 || n.Proxy.Sum() != 2 || n.Dropped != 2 {
			t.Errorf("%+v, %d dropped", n.Proxy, n.Dropped)
		}
	})
}

// TestProxiedStreams connects with a header, over each transport of TCP.
func TestProxiedStreams(t *testing.T) {
	world, config := proxiedWorld(t)
	s := serve(t, world, false, "127.0.0.1:0")
	begin := func(to netip.AddrPort) net.Conn {
		conn := dial(t, "tcp", to)
		if _, err := conn.Write(proxyHeader(proxiedClient)); err != nil {
			t.Error(err)
		}
		return conn
	}
	plain := begin(s.Addrs()[0])
	secure := tls.Client(begin(s.EncryptedAddrs()[answer.DoT][0]), config)
	for what, conn := range map[string]net.Conn{"TCP": plain, "TLS": secure} {
		for range 2 {
			if _, err := conn.Write(framed(askWWW(t))); err != nil {
				t.Fatal(err)
			}
			checkProxied(t, what, readFrame(t, conn))
		}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DialContext: func(_ context.Context, _, _ string) (net.Conn, error) {
		return begin(s.EncryptedAddrs()[answer.DoH][0]), nil
	}}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport, Timeout: eventTimeout}).Post("https://dns.example/dns-query", "application/dns-message", bytes.NewReader(askWWW(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	m := new(dns.Msg)
	if err := m.Unpack(body); err != nil {
		t.Fatal(err)
	}
	checkProxied(t, "HTTPS", m)
}

// TestStreamWithoutProxyHeaderIsClosed begins connections with something else than a header that can be used.
func TestStreamWithoutProxyHeaderIsClosed(t *testing.T) {
	world, _ := proxiedWorld(t)
	s := serve(t, world, false, "127.0.0.1:0")
	closesAll(t, s, map[string][]byte{
		"a query":          framed(askWWW(t)),
		"version 1":        []byte("PROXY TCP4 127.0.0.7 127.0.0.1 12345 53\r\n"),
		"an endless one":   append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"), make([]byte, 2000)...),
		"an unknown kind":  append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x91\x00\x0c"), make([]byte, 12)...),
		"a TLS connection": []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more octets"),
	})
	if n := s.Counters(); n.Proxy != (answer.ProxyErrors{Missing: 2 * 3, Malformed: 2 * 3, Version1: 3}) || n.Queries != 0 {
		t.Errorf("%+v, %d queries", n.Proxy, n.Queries)
	}
}

// TestUntrustedStreamWithProxyHeaderIsClosed begins connections with a header, from a source that must send none.
func TestUntrustedStreamWithProxyHeaderIsClosed(t *testing.T) {
	world, _ := encryptedWorld(t, "10.7.0.0/16", "127.0.0.7/32", "nsid: test", "nsid: test, proxy: {from: [192.0.2.1/32]}")
	for _, addrs := range []*[]netip.AddrPort{&world.Config.Server.ListenTLS, &world.Config.Server.HTTPS.Addresses} {
		*addrs = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	}
	s := serve(t, world, false, "127.0.0.1:0")
	closesAll(t, s, map[string][]byte{"a header": append(proxyHeader(proxiedClient), framed(askWWW(t))...)})
	if n := s.Counters(); n.Proxy != (answer.ProxyErrors{Untrusted: 3}) || n.Queries != 0 {
		t.Errorf("%+v, %d queries", n.Proxy, n.Queries)
	}
	if from := s.Untrusted(); from.String() != "127.0.0.1" {
		t.Errorf("the last source is %v", from)
	}
}

// TestStalledProxyHeaderIsClosed begins connections with half a header, and with nothing.
func TestStalledProxyHeaderIsClosed(t *testing.T) {
	world, _ := proxiedWorld(t)
	world.Config.Server.Encrypted.Query = 50 * time.Millisecond
	s := serve(t, world, false, "127.0.0.1:0")
	closesAll(t, s, map[string][]byte{"half a header": proxyHeader(proxiedClient)[:20], "nothing": nil})
	if n := s.Counters(); n.Proxy != (answer.ProxyErrors{Missing: 2 * 3}) {
		t.Errorf("%+v", n.Proxy)
	}
}

// closesAll checks that a server closes connections that begin with these octets, over each transport of TCP.
func closesAll(t *testing.T, s *Server, all map[string][]byte) {
	t.Helper()
	for what, begins := range all {
		for _, to := range []netip.AddrPort{s.Addrs()[0], s.EncryptedAddrs()[answer.DoT][0], s.EncryptedAddrs()[answer.DoH][0]} {
			conn := dial(t, "tcp", to)
			_, _ = conn.Write(begins) // the server may have closed the connection
			got, err := io.ReadAll(conn)
			if errors.Is(err, os.ErrDeadlineExceeded) || bytes.Contains(got, []byte("example")) {
				t.Errorf("%s: %q, %v", what, got, err)
			}
		}
	}
}

// TestProxiedClientsHaveTheirOwnLimit opens more connections from one source than a client may have.
func TestProxiedClientsHaveTheirOwnLimit(t *testing.T) {
	world, _ := proxiedWorld(t)
	world.Config.Server.TCP.PerClient = 2
	s := serve(t, world, false, "127.0.0.1:0")
	open := func(client string) net.Conn {
		conn := dial(t, "tcp", s.Addrs()[0])
		if _, err := conn.Write(append(proxyHeader(client), framed(askWWW(t))...)); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn)
		return conn
	}
	first := open("192.0.2.1")
	var others []net.Conn
	for i := range 5 {
		others = append(others, open(fmt.Sprintf("192.0.2.%d", 10+i)))
	}
	open("192.0.2.1")
	open("192.0.2.1")
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first of three connections of a client: %v, want closed", err)
	}
	for _, conn := range others {
		if _, err := conn.Write(framed(askWWW(t))); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn)
	}
	if n := s.Counters().Connections[answer.TCP]; n.Evicted != 1 || n.Accepted != 8 {
		t.Errorf("%+v", n)
	}
}

// TestProxiedConnectionIsNotPassed checks that an upgrade ends connections with a client that only this process knows.
func TestProxiedConnectionIsNotPassed(t *testing.T) {
	world, _ := proxiedWorld(t)
	s := listen(t, world, false, "127.0.0.1:0")
	s.PassConnections(func(netip.AddrPort, *net.TCPConn, []byte, time.Time) error {
		t.Error("the connection was passed")
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	conn := dial(t, "tcp", s.Addrs()[0])
	if _, err := conn.Write(append(proxyHeader(proxiedClient), framed(askWWW(t))...)); err != nil {
		t.Fatal(err)
	}
	checkProxied(t, "before", readFrame(t, conn))
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want closed", err)
	}
}

// askFrom asks over a network from the address of the client in region ap.
func askFrom(t *testing.T, network, to string, config *tls.Config) (*dns.Msg, error) {
	t.Helper()
	c := dns.Client{Net: network, TLSConfig: config, Timeout: eventTimeout, Dialer: &net.Dialer{Timeout: eventTimeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(proxiedClient)}}}
	if network == "udp" {
		c.Dialer.LocalAddr = &net.UDPAddr{IP: net.ParseIP(proxiedClient)}
		c.Timeout, c.Dialer.Timeout = time.Second, time.Second // for another try
	}
	m, _, err := c.ExchangeContext(t.Context(), answertest.Ask("www.example.com.", dns.TypeA), to)
	return m, err
}

// TestBehindHAProxy has haproxy in front of TCP and of TLS, which haproxy does not decrypt.
func TestBehindHAProxy(t *testing.T) {
	counterpart.Find(t, "haproxy")
	world, config := proxiedWorld(t)
	s := serve(t, world, false, "127.0.0.1:0")
	ports := counterpart.FreePorts(t, 2)
	conf := fmt.Sprintf(`
defaults
  mode tcp
  timeout connect 60s
  timeout client 60s
  timeout server 60s
listen plain
  bind 127.0.0.1:%d
  server a %s send-proxy-v2 check-send-proxy
listen secure
  bind 127.0.0.1:%d
  server a %s send-proxy-v2 source 127.0.0.1
`, ports[0], s.Addrs()[0], ports[1], s.EncryptedAddrs()[answer.DoT][0])
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Start(t, "haproxy", "-db", "-f", file)
	counterpart.AwaitListeners(t, ports...)
	for network, port := range map[string]int{"tcp": ports[0], "tcp-tls": ports[1]} {
		m, err := askFrom(t, network, fmt.Sprintf("127.0.0.1:%d", port), config)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		checkProxied(t, network, m)
	}
}

// TestBehindDnsdist has dnsdist in front of UDP and TCP.
func TestBehindDnsdist(t *testing.T) {
	counterpart.Find(t, "dnsdist")
	world, _ := proxiedWorld(t)
	s := serve(t, world, false, "127.0.0.1:0")
	port := counterpart.FreePorts(t, 1)[0]
	conf := fmt.Sprintf(`
setLocal("127.0.0.1:%d")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
newServer({address="%s", useProxyProtocol=true, source="127.0.0.1", checkName="www.example.com.", mustResolve=true})
`, port, s.Addrs()[0])
	file := filepath.Join(t.TempDir(), "dnsdist.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Start(t, "dnsdist", "--supervised", "--disable-syslog", "-C", file)
	counterpart.AwaitListener(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	for _, network := range []string{"udp", "tcp"} {
		var m *dns.Msg
		counterpart.Await(t, func() (err error) { // until dnsdist has checked the server
			m, err = askFrom(t, network, fmt.Sprintf("127.0.0.1:%d", port), nil)
			return err
		})
		checkProxied(t, network, m)
	}
	if n := s.Counters(); n.Proxy.Sum() != 0 || n.UDP == 0 || n.TCP == 0 {
		t.Errorf("%+v, %d over UDP, %d over TCP", n.Proxy, n.UDP, n.TCP)
	}
}
