package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian/counterpart"
	"meridian/server/answer"
)

// http2Client sends frames of HTTP/2, also those that no library would send.
type http2Client struct {
	*http2.Framer
	t      *testing.T
	conn   *tls.Conn
	header bytes.Buffer
	hpack  *hpack.Encoder
}

func dialHTTP2(t *testing.T, at netip.AddrPort, roots *x509.CertPool) *http2Client {
	t.Helper()
	c := &http2Client{t: t, conn: dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"h2"}})}
	if _, err := io.WriteString(c.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c.Framer, c.hpack = http2.NewFramer(c.conn, c.conn), hpack.NewEncoder(&c.header)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// block returns the header block of a request, with more fields (name, value pairs).
func (c *http2Client) block(method, path string, more ...string) []byte {
	c.header.Reset()
	fields := append([]string{":method", method, ":scheme", "https", ":authority", "dns.example", ":path", path}, more...)
	for i := 0; i < len(fields); i += 2 {
		_ = c.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(c.header.Bytes())
}

// begin begins a request with a body in a stream, and sends nothing of the body.
func (c *http2Client) begin(stream uint32) {
	c.t.Helper()
	block := c.block("POST", "/dns-query", "content-type", "application/dns-message", "content-length", "40")
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
}

// status returns the status that a stream is answered with, or how the stream or the connection ends.
func (c *http2Client) status(stream uint32) string {
	_ = c.conn.SetReadDeadline(time.Now().Add(eventTimeout))
	for {
		frame, err := c.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.t.Fatalf("stream %d: %v", stream, err)
		case err != nil:
			return "closed"
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return "closed"
		}
	}
}

// TestHTTP2AbandonsStalledStreams leaves out the body of a request. Another one of the connection is answered.
func TestHTTP2AbandonsStalledStreams(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Query = 50 * time.Millisecond
	s, at := serveHTTPS(t, snapshot)
	c := dialHTTP2(t, at, roots)
	c.begin(1)
	if got := c.status(1); got != "408" && got != "INTERNAL_ERROR" {
		t.Errorf("a request without its body: %s", got)
	}
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: c.block("GET", "/"), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	if got := c.status(3); got != "404" {
		t.Errorf("another request: %s", got)
	}
	awaitStreams(t, s, 0)
}

// awaitStreams waits until the listener of HTTPS serves a number of streams.
func awaitStreams(t *testing.T, s *Server, want int64) {
	t.Helper()
	l := s.listeners[1].conns.(*httpsListener)
	counterpart.Await(t, func() error {
		if n := l.streams.all.Load(); n != want {
			return fmt.Errorf("%d streams, want %d", n, want)
		}
		return nil
	})
}

// TestHTTP2RefusesStreamsBeyondTheShare begins more requests than all connections together may have, and ends none. They are
// gone with their connection.
func TestHTTP2RefusesStreamsBeyondTheShare(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Max, snapshot.Config.Server.Encrypted.Query = 2, time.Minute
	s, at := serveHTTPS(t, snapshot)
	first := dialHTTP2(t, at, roots)
	const most = streamShare * 2
	for i := range uint32(most) {
		first.begin(2*i + 1)
	}
	awaitStreams(t, s, most)
	first.begin(2*most + 1)
	if got := first.status(2*most + 1); got != "503" {
		t.Errorf("a stream beyond the share: %s", got)
	}
	second := dialHTTP2(t, at, roots)
	second.begin(1)
	if err := second.WriteData(1, true, make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	if got := second.status(1); got != "200" && got != "400" {
		t.Errorf("another client: %s", got)
	}
	_ = first.conn.Close()
	awaitStreams(t, s, 0)
}

// TestHTTP2CancelledStreamsAreBounded begins and cancels many requests, as in CVE-2023-44487.
func TestHTTP2CancelledStreamsAreBounded(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Streams = 10
	s, at := serveHTTPS(t, snapshot)
	c := dialHTTP2(t, at, roots)
	failed := false
	for stream := uint32(1); stream < 4000 && !failed; stream += 2 {
		block := c.block("POST", "/dns-query", "content-type", "application/dns-message", "content-length", "40")
		failed = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true}) != nil ||
			c.WriteRSTStream(stream, http2.ErrCodeCancel) != nil
		if n := s.listeners[1].conns.(*httpsListener).streams.all.Load(); n > 10 {
			t.Fatalf("%d streams are served, with a limit of 10", n)
		}
	}
	awaitStreams(t, s, 0)
	other := dialHTTP2(t, at, roots)
	if err := other.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: other.block("GET", "/"), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	if got := other.status(1); got != "404" {
		t.Errorf("another client: %s", got)
	}
}

// TestHTTP2RefusesLargeHeaders sends a GET of 64 KB, many fields, fields that refer to a large one (an HPACK bomb), and a header
// without an end.
func TestHTTP2RefusesLargeHeaders(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveHTTPS(t, snapshot)
	var many []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf("x-%d", i), "v")
	}
	for what, fields := range map[string][]string{
		"a GET of 64 KB":           {"/dns-query?dns=" + strings.Repeat("A", 64<<10)},
		"many fields":              append([]string{"/"}, many...),
		"a field that is repeated": append([]string{"/"}, strings.Split(strings.Repeat("x-bomb|"+strings.Repeat("b", 3000)+"|", 3000), "|")[:6000]...),
	} {
		c := dialHTTP2(t, at, roots)
		c.sendBlock(c.block("GET", fields[0], fields[1:]...), true)
		if got := c.status(1); got != "431" && got != "closed" {
			t.Errorf("%s: %s", what, got)
		}
	}
	c := dialHTTP2(t, at, roots)
	c.sendBlock(c.block("GET", "/"), false)
	const most = 4 << 20
	sent := 0
	for ; sent < most; sent += httpFrame {
		if c.WriteContinuation(1, false, make([]byte, httpFrame)) != nil {
			break
		}
	}
	if sent >= most {
		t.Errorf("a header of %d octets without an end is read", sent)
	}
	awaitConnections(t, s, answer.DoH, func(n answer.Connections) bool { return n.Open <= 3 })
}

// sendBlock sends a header block as the frames of stream 1. The server may close the connection meanwhile.
func (c *http2Client) sendBlock(block []byte, end bool) {
	first := block[:min(len(block), httpFrame)]
	block = block[len(first):]
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndHeaders: end && len(block) == 0, EndStream: true})
	for len(block) > 0 && err == nil {
		part := block[:min(len(block), httpFrame)]
		block = block[len(part):]
		err = c.WriteContinuation(1, end && len(block) == 0, part)
	}
}

// TestHTTPSRefusesOtherProtocols offers none of its protocols.
func TestHTTPSRefusesOtherProtocols(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, _, h3 := serveHTTP3(t, snapshot)
	at := s.EncryptedAddrs()[answer.DoH][0]
	err := tls.Client(dial(t, "tcp", at), &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"dot"}}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("over TCP: %v", err)
	}
	if _, err := tryQUIC(t, h3, &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"doq"}}); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("over QUIC: %v", err)
	}
}
