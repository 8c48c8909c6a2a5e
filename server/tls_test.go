package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/certs"
	"meridian/certs/certstest"
	"meridian/config"
	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// encryptedWorld returns a snapshot, after edits of its configuration, with certificates for dns.example and other.example, and the pool of both.
func encryptedWorld(t *testing.T, edits ...string) (*snapshot.Snapshot, *x509.CertPool) {
	t.Helper()
	s, roots := answertest.World(t, edits...), x509.NewCertPool()
	var pairs []certs.Pair
	for _, name := range []string{"dns.example", "other.example"} {
		cert, key := certstest.Write(t, t.TempDir(), time.Now(), name)
		pem, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		roots.AppendCertsFromPEM(pem)
		pairs = append(pairs, certs.Pair{Cert: cert, Key: key})
	}
	store, err := certs.Open(pairs, "")
	if err != nil {
		t.Fatal(err)
	}
	s.Certificates = store
	s.Config.Server.Workers = 1
	s.Config.Server.HTTPS.Path = "/dns-query"
	s.Config.Server.Encrypted = config.Encrypted{Max: 100, PerClient: 100, Streams: 100, Idle: time.Minute, Query: eventTimeout}
	return s, roots
}

// swapSettings makes a server use changed settings, with the certificates that it has.
func swapSettings(t *testing.T, s *Server, current *snapshot.Snapshot, change func(*config.Server)) {
	t.Helper()
	next := answertest.World(t)
	next.Certificates, next.Config.Server = current.Certificates, current.Config.Server
	change(&next.Config.Server)
	if _, err := s.Swap(next); err != nil {
		t.Error(err)
	}
}

// serveTLS serves DNS over TLS and returns the address.
func serveTLS(t *testing.T, snapshot *snapshot.Snapshot) (*Server, netip.AddrPort) {
	t.Helper()
	snapshot.Config.Server.ListenTLS = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := serve(t, snapshot, false, "127.0.0.1:0")
	return s, s.EncryptedAddrs()[answer.DoT][0]
}

func dialTLS(t *testing.T, to netip.AddrPort, c *tls.Config) *tls.Conn {
	t.Helper()
	conn := tls.Client(dial(t, "tcp", to), c)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestTLSAnswersPipelinedQueries(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveTLS(t, snapshot)
	for _, name := range []string{"dns.example", "other.example"} {
		conn := dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: name, NextProtos: []string{"dot"}})
		if state := conn.ConnectionState(); state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "dot" {
			t.Errorf("%s: %+v", name, state)
		}
		query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
		if _, err := conn.Write(framed(query, query)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if m := readFrame(t, conn); len(m.Answer) != 1 {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
	n := s.Counters()
	if dot := n.Connections[answer.DoT]; n.Encrypted() != 4 || n.TCP != 0 || dot.Accepted != 2 || dot.Handshakes != 2 {
		t.Errorf("counters %+v", n)
	}
}

// awaitConnections waits until the counters of a transport are right: a client may see the end before the server counts it.
func awaitConnections(t *testing.T, s *Server, of answer.Transport, right func(answer.Connections) bool) {
	t.Helper()
	counterpart.Await(t, func() error {
		if c := s.Counters().Connections[of]; !right(c) {
			return fmt.Errorf("%s: %+v", of, c)
		}
		return nil
	})
}

func TestTLSRefusesOtherProtocols(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveTLS(t, snapshot)
	for _, c := range []struct {
		what   string
		config *tls.Config
		want   string
	}{
		{"HTTP/2", &tls.Config{NextProtos: []string{"h2"}}, "no application protocol"},
		{"TLS 1.1", &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, "protocol version"},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, ""},
		{"no protocol", &tls.Config{}, ""},
	} {
		c.config.RootCAs, c.config.ServerName = roots, "dns.example"
		err := tls.Client(dial(t, "tcp", at), c.config).Handshake()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.FailedHandshakes == 2 })
}

// TestTLSClosesStalledConnections leaves out the end of a handshake and of a query, and sends what is no TLS. The limit is short
// only once the handshakes that must succeed are complete.
func TestTLSClosesStalledConnections(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveTLS(t, snapshot)
	ended := func(what string, conn net.Conn) {
		t.Helper()
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection is still open", what)
		}
	}
	conn := dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Handshakes == 1 })
	swapSettings(t, s, snapshot, func(c *config.Server) { c.Encrypted.Query = 100 * time.Millisecond })
	ended("no handshake", dial(t, "tcp", at))
	plain := dial(t, "tcp", at)
	_, _ = plain.Write(framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))))
	ended("plain TCP", plain)
	_, _ = conn.Write([]byte{0, 20, 1})
	ended("part of a query", conn)
	awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Accepted == 3 && c.FailedHandshakes == 2 })
}

// TestTLSLimitsNoTimeBetweenQueries waits longer between two queries in parts than a query may take. It tries again with a longer
// limit if the machine was too slow to send a query within the limit.
func TestTLSLimitsNoTimeBetweenQueries(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveTLS(t, snapshot)
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	in := make([]byte, 512)
	twice := func(conn net.Conn, limit time.Duration) (longest time.Duration, err error) {
		for range 2 {
			begin := time.Now()
			_, _ = conn.Write(query[:5])
			_, _ = conn.Write(query[5:])
			_, err = io.ReadAtLeast(conn, in, len(query))
			if longest = max(longest, time.Since(begin)); err != nil {
				break
			}
			select {
			case <-time.After(2 * limit):
			case <-t.Context().Done():
			}
		}
		return longest, err
	}
	for limit := 100 * time.Millisecond; ; limit *= 2 {
		before := s.Counters().Connections[answer.DoT].Handshakes
		conn := dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
		awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Handshakes > before })
		swapSettings(t, s, snapshot, func(c *config.Server) { c.Encrypted.Query = limit })
		longest, err := twice(conn, limit)
		if err == nil {
			return
		}
		if longest < limit || limit > eventTimeout/4 {
			t.Fatalf("a limit of %s, and queries of up to %s: %v", limit, longest, err)
		}
		swapSettings(t, s, snapshot, func(c *config.Server) { c.Encrypted.Query = eventTimeout })
	}
}

// TestTLSUsesRenewedCertificates renews a certificate while the server runs.
func TestTLSUsesRenewedCertificates(t *testing.T) {
	dir := t.TempDir()
	snapshot, _ := encryptedWorld(t)
	cert, key := certstest.Write(t, dir, time.Now(), "dns.example")
	var err error
	if snapshot.Certificates, err = certs.Open([]certs.Pair{{Cert: cert, Key: key}}, ""); err != nil {
		t.Fatal(err)
	}
	_, at := serveTLS(t, snapshot)
	serial := func() string {
		conn := dialTLS(t, at, &tls.Config{InsecureSkipVerify: true})
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	certstest.Write(t, dir, time.Now().Add(time.Second), "dns.example")
	if changed, err := snapshot.Certificates.Update(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if after := serial(); after == before {
		t.Error("the renewed certificate is not used")
	}
}

// TestTLSResumesSessionsOfOtherNodes connects to one server with the session ticket of another one.
func TestTLSResumesSessionsOfOtherNodes(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, first := serveTLS(t, snapshot)
	other := answertest.World(t)
	other.Certificates, other.Config.Server.Encrypted = snapshot.Certificates, snapshot.Config.Server.Encrypted
	_, second := serveTLS(t, other)
	config := &tls.Config{RootCAs: roots, ServerName: "dns.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	for i, at := range []netip.AddrPort{first, second} {
		conn := dialTLS(t, at, config)
		_, _ = conn.Write(query)
		readFrame(t, conn) // with it, the client has read the ticket
		if resumed := conn.ConnectionState().DidResume; resumed != (i == 1) {
			t.Errorf("connection %d resumed: %v", i, resumed)
		}
	}
}

// TestTLSDrainsReceivedQueries stops a server with an open connection.
func TestTLSDrainsReceivedQueries(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.ListenTLS = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := listen(t, snapshot, false, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	conn := dialTLS(t, s.EncryptedAddrs()[answer.DoT][0], &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	_, _ = conn.Write(query)
	readFrame(t, conn)
	_, _ = conn.Write(query)
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	readFrame(t, conn)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v, want a proper end", err)
	}
}

func TestTLSClosesTheLongestIdleConnection(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.PerClient = 2
	s, at := serveTLS(t, snapshot)
	var conns []*tls.Conn
	for range 3 {
		conns = append(conns, dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"}))
	}
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first connection: %v, want its end", err)
	}
	awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Evicted == 1 && c.Accepted == 3 })
}

// TestTLSOutlivesClientsThatLeave resets connections at each stage. None leaves anything behind.
func TestTLSOutlivesClientsThatLeave(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveTLS(t, snapshot)
	config := &tls.Config{RootCAs: roots, ServerName: "dns.example"}
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	ask := func() {
		conn := dialTLS(t, at, config)
		_, _ = conn.Write(query)
		readFrame(t, conn)
		_ = conn.Close()
	}
	ask()
	awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Open == 0 })
	base := runtime.NumGoroutine() // all that the server needs have begun
	for _, stage := range []func() net.Conn{
		func() net.Conn { return dial(t, "tcp", at) },
		func() net.Conn {
			conn := dial(t, "tcp", at)
			_, _ = conn.Write([]byte{22, 3, 1, 2, 0, 1}) // the beginning of a ClientHello
			return conn
		},
		func() net.Conn { return dialTLS(t, at, config) },
		func() net.Conn {
			conn := dialTLS(t, at, config)
			_, _ = conn.Write(query[:1])
			return conn
		},
		func() net.Conn {
			conn := dialTLS(t, at, config)
			_, _ = conn.Write(slices.Repeat(query, 100)) // and it reads no answer
			return conn
		},
	} {
		for range 5 {
			conn := stage()
			if over, ok := conn.(*tls.Conn); ok {
				conn = over.NetConn()
			}
			_ = conn.(*net.TCPConn).SetLinger(0) // Close resets it
			_ = conn.Close()
		}
	}
	awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Accepted == 26 && c.Open == 0 })
	counterpart.Await(t, func() error {
		if n := runtime.NumGoroutine(); n > base {
			return fmt.Errorf("%d goroutines, %d before", n, base)
		}
		return nil
	})
	ask()
}

// gatheringConn is a connection that keeps what is written until Flush, and counts the TLS records that it reads.
type gatheringConn struct {
	net.Conn
	out, in bytes.Buffer
	gather  bool
}

func (c *gatheringConn) Write(p []byte) (int, error) {
	if c.gather {
		return c.out.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *gatheringConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Write(p[:n])
	return n, err
}

// records returns the number of records read since the last call.
func (c *gatheringConn) records() (n int) {
	for ; c.in.Len() >= 5; n++ {
		head := c.in.Next(5)
		c.in.Next(int(binary.BigEndian.Uint16(head[3:])))
	}
	return n
}

// TestTLSAnswersRecordsTogether sends a query in each of many records at once, and one in parts.
func TestTLSAnswersRecordsTogether(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveTLS(t, snapshot)
	below := &gatheringConn{Conn: dial(t, "tcp", at)}
	conn := tls.Client(below, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	_, _ = conn.Write(query)
	readFrame(t, conn) // with it, the client has read the tickets
	below.records()
	below.gather = true
	const queries = 100
	for i := range queries {
		binary.BigEndian.PutUint16(query[frameHead:], uint16(i))
		_, _ = conn.Write(query[:1+i%len(query)])
		if rest := query[1+i%len(query):]; len(rest) > 0 {
			_, _ = conn.Write(rest)
		}
	}
	if _, err := below.Conn.Write(below.out.Bytes()); err != nil {
		t.Fatal(err)
	}
	for i := range queries {
		if m := readFrame(t, conn); m.Id != uint16(i) || len(m.Answer) != 1 {
			t.Fatalf("answer %d: %v", i, m)
		}
	}
	if n := below.records(); n > queries/2 {
		t.Errorf("%d answers come in %d records", queries, n)
	}
}
