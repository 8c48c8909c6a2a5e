package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"meridian/config"
	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// serveHTTP3 serves DNS over HTTPS, also by HTTP/3, and returns the addresses of both.
func serveHTTP3(t *testing.T, snapshot *snapshot.Snapshot) (s *Server, https, h3 netip.AddrPort) {
	t.Helper()
	snapshot.Config.Server.HTTPS.HTTP3 = true
	s, https = serveHTTPS(t, snapshot)
	return s, https, s.EncryptedAddrs()[answer.DoH3][0]
}

func TestHTTP3AnswersAsHTTPS(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, _, at := serveHTTP3(t, snapshot)
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "dns.example"}}
	client := http.Client{Transport: transport, Timeout: eventTimeout}
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	for path, status := range map[string]int{"/dns-query": 200, "/other": 404} {
		r, err := client.Post("https://"+at.String()+path, "application/dns-message", bytes.NewReader(query))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode != status || r.ProtoMajor != 3 {
			t.Errorf("%s: %s, %s", path, r.Proto, r.Status)
		}
		var m dns.Msg
		if err := m.Unpack(body); status == 200 && (err != nil || len(m.Answer) != 1 || r.Header.Get("Cache-Control") != "max-age=30") {
			t.Errorf("%v, %v, %v", err, r.Header, &m)
		}
	}
	_ = transport.Close()
	awaitConnections(t, s, answer.DoH3, func(c answer.Connections) bool {
		return c.Accepted == 1 && c.Handshakes == 1 && c.FailedHandshakes == 0 && c.Open == 0
	})
	if n := s.Counters(); n.Encrypted() != 1 {
		t.Errorf("counters %+v", n)
	}
}

// TestHTTPSNamesThePortOfHTTP3 changes the setting while the server runs.
func TestHTTPSNamesThePortOfHTTP3(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at, h3 := serveHTTP3(t, snapshot)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "dns.example"}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	named := func() string {
		r, err := (&http.Client{Transport: transport, Timeout: eventTimeout}).Get("https://" + at.String() + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.Header.Get("Alt-Svc")
	}
	if want := fmt.Sprintf(`h3=":%d"; ma=3600`, h3.Port()); named() != want {
		t.Errorf("%q, want %q", named(), want)
	}
	next, _ := encryptedWorld(t)
	next.Certificates = snapshot.Certificates
	next.Config.Server = snapshot.Config.Server
	next.Config.Server.HTTPS.HTTP3 = false
	if _, err := s.Swap(next); err != nil {
		t.Fatal(err)
	}
	if got := named(); got != "" || len(s.EncryptedAddrs()[answer.DoH3]) > 0 {
		t.Errorf("without HTTP/3: %q, %v", got, s.EncryptedAddrs())
	}
}

// TestHTTP3Drains stops a server with an open connection.
func TestHTTP3Drains(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.HTTPS.HTTP3 = true
	snapshot.Config.Server.HTTPS.Addresses = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := listen(t, snapshot, false, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	at := s.EncryptedAddrs()[answer.DoH3][0]
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "dns.example"}}
	defer transport.Close()
	r, err := (&http.Client{Transport: transport, Timeout: eventTimeout}).Get("https://" + at.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if c := s.Counters().Connections[answer.DoH3]; c.Open != 0 || c.Accepted != 1 {
		t.Errorf("counters %+v", c)
	}
}

// dialHTTP3 connects by QUIC, to send streams of HTTP/3 without a library of it.
func dialHTTP3(t *testing.T, at netip.AddrPort, roots *x509.CertPool) *quic.Conn {
	t.Helper()
	return dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{http3.NextProtoH3}})
}

// streamEnd returns the error code that ends a stream.
func streamEnd(t *testing.T, stream *quic.Stream) quic.StreamErrorCode {
	t.Helper()
	_, err := io.ReadAll(stream)
	var end *quic.StreamError
	if !errors.As(err, &end) || !end.Remote {
		t.Fatalf("the stream ends with %v", err)
	}
	return end.ErrorCode
}

// TestHTTP3AbandonsStalledStreams leaves out the header of a request, or the end of it.
func TestHTTP3AbandonsStalledStreams(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, _, at := serveHTTP3(t, snapshot)
	conn := dialHTTP3(t, at, roots)
	awaitConnections(t, s, answer.DoH3, func(c answer.Connections) bool { return c.Handshakes == 1 })
	swapSettings(t, s, snapshot, func(c *config.Server) { c.Encrypted.Query = 50 * time.Millisecond })
	for _, sent := range [][]byte{{1}, {1, 32, 0, 0}} { // a HEADERS frame of 32 octets
		if code := streamEnd(t, openQUIC(t, conn, sent)); code != quic.StreamErrorCode(http3.ErrCodeRequestIncomplete) {
			t.Errorf("%x without its end: %#x", sent, uint64(code))
		}
	}
	if conn.Context().Err() != nil {
		t.Error("the connection has ended")
	}
}

// TestHTTP3RefusesStreamsBeyondTheShare opens streams without a request, more than all connections together may have.
func TestHTTP3RefusesStreamsBeyondTheShare(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Max, snapshot.Config.Server.Encrypted.Query = 2, time.Minute
	_, _, at := serveHTTP3(t, snapshot)
	conn := dialHTTP3(t, at, roots)
	var last *quic.Stream
	for range streamShare*2 + 1 {
		last = openQUIC(t, conn, []byte{1})
	}
	if code := streamEnd(t, last); code != quic.StreamErrorCode(http3.ErrCodeExcessiveLoad) {
		t.Errorf("a stream beyond the share ends with %#x", uint64(code))
	}
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "dns.example"}}
	defer transport.Close()
	r, err := (&http.Client{Transport: transport, Timeout: eventTimeout}).Get("https://" + at.String() + "/")
	if err != nil {
		t.Fatal("another client: ", err)
	}
	_ = r.Body.Close()
}

// TestHTTP3RefusesLargeHeaders sends a GET of 64 KB, and many fields. Other requests of the connection are answered.
func TestHTTP3RefusesLargeHeaders(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, _, at := serveHTTP3(t, snapshot)
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "dns.example"}}
	defer transport.Close()
	many := http.Header{}
	for i := range 2000 {
		many.Set(fmt.Sprintf("X-%d", i), "v")
	}
	for _, c := range []struct {
		path   string
		header http.Header
		want   string
	}{
		{"/dns-query?dns=" + strings.Repeat("A", 64<<10), nil, "431"}, {"/", many, "431"}, {"/", nil, "404"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+at.String()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != nil {
			r.Header = c.header
		}
		got, err := (&http.Client{Transport: transport, Timeout: eventTimeout}).Do(r)
		if err != nil {
			t.Errorf("%.20s: %v", c.path, err)
			continue
		}
		_ = got.Body.Close()
		if !strings.HasPrefix(got.Status, c.want) {
			t.Errorf("%.20s with %d fields: %s, want %s", c.path, len(c.header), got.Status, c.want)
		}
	}
	awaitConnections(t, s, answer.DoH3, func(c answer.Connections) bool { return c.Accepted == 1 })
}

func TestClientsUseHTTP3(t *testing.T) {
	snapshot, _ := encryptedWorld(t)
	s, _, _ := serveHTTP3(t, snapshot)
	counterpart.Find(t, "gtlsclient")
	h3 := port(s, answer.DoH3)
	text := output(t, "gtlsclient", "--exit-on-all-streams-close", "127.0.0.1", h3, "https://dns.example:"+h3+"/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB")
	if !strings.Contains(text, "[:status: 200]") || !strings.Contains(text, "max-age=30") {
		t.Errorf("gtlsclient prints\n%s", text)
	}
}
