package server

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// TestStalledClientsTakeNothingFromUDP has more clients of each transport than it may have, which do not complete their queries
// or handshakes. All queries over UDP are answered, the limits hold, and the clients leave nothing behind.
func TestStalledClientsTakeNothingFromUDP(t *testing.T) {
	const most, each = 20, 30
	snapshot, roots := encryptedWorld(t)
	any := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	limits := &snapshot.Config.Server
	limits.ListenTLS, limits.ListenQUIC, limits.HTTPS.Addresses = any, any, any
	limits.TCP = config.TCP{Idle: time.Minute, Max: most, PerClient: each}
	limits.Encrypted.Max, limits.Encrypted.Query = most, time.Minute
	s := serve(t, snapshot, false, "127.0.0.1:0")
	secure := func(protocol string) *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{protocol}}
	}
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	at := s.EncryptedAddrs()
	udp := dial(t, "udp", s.Addrs()[0])
	asked := uint64(0)
	answered := func(what string, n int) {
		t.Helper()
		message, in := query[frameHead:], make([]byte, 512)
		for range n {
			asked++
			binary.BigEndian.PutUint16(message, uint16(asked))
			_, _ = udp.Write(message)
			if size, err := udp.Read(in); err != nil || size < 12 || binary.BigEndian.Uint16(in) != uint16(asked) {
				t.Fatalf("%s: query %d over UDP: %x, %v", what, asked, in[:size], err)
			}
		}
	}
	type stalling struct {
		what  string
		over  answer.Transport
		stall func() io.Closer
	}
	ways := []stalling{
		{"queries over TCP", answer.TCP, func() io.Closer { return begun(dial(t, "tcp", s.Addrs()[0]), query[:3]) }},
		{"handshakes of TLS", answer.DoT, func() io.Closer { return begun(dial(t, "tcp", at[answer.DoT][0]), []byte{22, 3, 1, 2, 0, 1}) }},
		{"queries over TLS", answer.DoT, func() io.Closer { return begun(dialTLS(t, at[answer.DoT][0], secure("dot")), query[:3]) }},
		{"requests over HTTPS", answer.DoH, func() io.Closer {
			return begun(dialTLS(t, at[answer.DoH][0], secure("http/1.1")), []byte("POST /dns-query HTTP/1.1\r\n"))
		}},
		{"queries over QUIC", answer.DoQ, func() io.Closer {
			conn := dialQUIC(t, at[answer.DoQ][0], secure("doq"))
			for range 4 {
				openQUIC(t, conn, query[:3])
			}
			return closer(func() error { return conn.CloseWithError(0, "") })
		}},
	}
	allGone := func(n answer.Connections) bool { return n.Open == 0 && n.Accepted > 0 }
	for _, c := range ways {
		_ = c.stall().Close()
		awaitConnections(t, s, c.over, allGone)
	}
	base := runtime.NumGoroutine() // all that the server needs have begun
	for _, c := range ways {
		before := s.Counters().Connections[c.over].Evicted
		var clients []io.Closer
		for range each {
			clients = append(clients, c.stall())
			answered(c.what, 5)
		}
		awaitConnections(t, s, c.over, func(n answer.Connections) bool { return n.Open == most && n.Evicted-before == each-most })
		answered(c.what, 100)
		for _, client := range clients {
			_ = client.Close()
		}
		awaitConnections(t, s, c.over, allGone)
	}
	if n := s.Counters(); n.UDP != asked || n.Encrypted() != 0 || n.TCP != 0 {
		t.Errorf("%d queries over UDP, counters %+v", asked, n)
	}
	counterpart.Await(t, func() error {
		if n := runtime.NumGoroutine(); n > base {
			return fmt.Errorf("%d goroutines, %d before", n, base)
		}
		return nil
	})
}

// begun sends the beginning of something over a connection.
func begun(conn net.Conn, beginning []byte) io.Closer {
	_, _ = conn.Write(beginning)
	return conn
}

// closer is a function as an io.Closer.
type closer func() error

// Close calls the function.
func (c closer) Close() error { return c() }
