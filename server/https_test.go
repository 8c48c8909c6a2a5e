package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// serveHTTPS serves DNS over HTTPS and returns the address.
func serveHTTPS(t *testing.T, snapshot *snapshot.Snapshot) (*Server, netip.AddrPort) {
	t.Helper()
	snapshot.Config.Server.HTTPS.Addresses = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := serve(t, snapshot, false, "127.0.0.1:0")
	return s, s.EncryptedAddrs()[answer.DoH][0]
}

func TestHTTPSAnswersOverBothVersions(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveHTTPS(t, snapshot)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	for _, second := range []bool{true, false} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "dns.example"}, ForceAttemptHTTP2: second}
		client := http.Client{Transport: transport, Timeout: eventTimeout}
		for range 2 {
			r, err := client.Post("https://"+at.String()+"/dns-query", "application/dns-message", bytes.NewReader(query))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			var m dns.Msg
			if err := m.Unpack(body); err != nil || len(m.Answer) != 1 || r.Header.Get("Cache-Control") != "max-age=30" || (r.ProtoMajor == 2) != second {
				t.Errorf("HTTP/%d: %v, %v, %v", r.ProtoMajor, err, r.Header, &m)
			}
		}
		transport.CloseIdleConnections()
	}
	n := s.Counters()
	if doh := n.Connections[answer.DoH]; n.Encrypted() != 4 || doh.Accepted != 2 || doh.Handshakes != 2 || doh.FailedHandshakes != 0 {
		t.Errorf("counters %+v", n)
	}
}

// TestHTTPSClosesStalledRequests leaves out the end of a handshake, of a header and of a body.
func TestHTTPSClosesStalledRequests(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Query = 50 * time.Millisecond
	s, at := serveHTTPS(t, snapshot)
	config := &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"http/1.1"}}
	for what, sent := range map[string]string{
		"header": "POST /dns-query HTTP/1.1\r\n",
		"body":   "POST /dns-query HTTP/1.1\r\nHost: a\r\nContent-Type: application/dns-message\r\nContent-Length: 40\r\n\r\nx",
	} {
		conn := dialTLS(t, at, config)
		_, _ = io.WriteString(conn, sent)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("part of a %s: the connection is still open", what)
		}
	}
	if _, err := io.Copy(io.Discard, dial(t, "tcp", at)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("no handshake: the connection is still open")
	}
	if n := s.Counters(); n.Encrypted() != 0 || n.Connections[answer.DoH].Accepted != 3 {
		t.Errorf("counters %+v", n)
	}
}

// TestHTTPSRefusesLargeHeaders sends a GET of 64 KB.
func TestHTTPSRefusesLargeHeaders(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveHTTPS(t, snapshot)
	conn := dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"http/1.1"}})
	_, _ = io.WriteString(conn, "GET /dns-query?dns="+strings.Repeat("A", 64<<10)+" HTTP/1.1\r\nHost: a\r\n\r\n")
	answer, _ := io.ReadAll(io.LimitReader(conn, 12))
	if string(answer) != "HTTP/1.1 431" {
		t.Errorf("%q", answer)
	}
}

func TestHTTPSClosesTheLongestIdleConnection(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.PerClient = 2
	s, at := serveHTTPS(t, snapshot)
	var conns []*tls.Conn
	for range 3 {
		conns = append(conns, dialTLS(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"}))
	}
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first connection: %v, want its end", err)
	}
	awaitConnections(t, s, answer.DoH, func(c answer.Connections) bool { return c.Evicted == 1 && c.Accepted == 3 })
}

func TestClientsUseHTTPS(t *testing.T) {
	snapshot, _ := encryptedWorld(t)
	ca := snapshot.Certificates.Pairs()[0].Cert
	s, at := serveHTTPS(t, snapshot)
	doh := port(s, answer.DoH)
	query := filepath.Join(t.TempDir(), "query")
	if err := os.WriteFile(query, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program string
		args    []string
		want    []string
	}{
		{"kdig", []string{"@127.0.0.1", "-p", doh, "+https", "+tls-ca=" + ca, "+tls-hostname=dns.example", "+retry=0", "www.example.com"}, []string{"NOERROR", "HTTP session (HTTP/2-POST)"}},
		{"kdig", []string{"@127.0.0.1", "-p", doh, "+https", "+https-get", "+tls-ca=" + ca, "+tls-hostname=dns.example", "+retry=0", "www.example.com"}, []string{"NOERROR", "HTTP session (HTTP/2-GET)"}},
		{"dig", []string{"@127.0.0.1", "-p", doh, "+https", "+tls-ca=" + ca, "+tls-hostname=dns.example", "+tries=1", "www.example.com"}, []string{"NOERROR", "(HTTPS)"}},
		{"curl", []string{"--silent", "--show-error", "--include", "--output", "-", "--cacert", ca, "--resolve", "dns.example:" + doh + ":" + at.Addr().String(), "--header", "Content-Type: application/dns-message", "--data-binary", "@" + query, "https://dns.example:" + doh + "/dns-query"}, []string{"HTTP/2 200", "cache-control: max-age=30", "content-type: application/dns-message"}},
	} {
		counterpart.Find(t, c.program)
		text := output(t, c.program, c.args...)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not print %q:\n%s", c.program, want, text)
			}
		}
	}
	if n := s.Counters(); n.Encrypted() != 4 {
		t.Errorf("%+v", n)
	}
}
