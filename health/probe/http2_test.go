package probe

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian/config"
)

func http2Check(e *endpoint) config.Check {
	c := httpCheck(e)
	c.HTTP2 = true
	return c
}

// site is a correct HTTP/2 server, in clear or over TLS: it describes the request in the body, redirects from /to?URL, and
// sends endless data at /endless.
func site(t *testing.T, cert *tls.Certificate) *endpoint {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/to":
			w.Header().Set("Location", r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		case "/endless":
			for chunk := make([]byte, 4096); r.Context().Err() == nil; {
				w.Write(chunk)
			}
		case "/long":
			w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeader))
		case "/hang":
			<-r.Context().Done()
		case "/sick":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, r.Proto, " ", r.Method, " ", r.Host, " ", r.URL, " ", r.Header.Get("X-A"), r.Header.Get("Accept-Encoding"))
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.EnableHTTP2 = true
	if cert != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return &endpoint{AddrPort: netip.MustParseAddrPort(s.Listener.Addr().String())}
}

func TestHTTP2ProbesOfAServerThatSpeaksIt(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, nil)
	cases := []struct {
		path, body string
		stay       bool
		want       Outcome
		reason     string
	}{
		{path: "/healthz?a=b", body: "^HTTP/2.0 GET www.example.com /healthz[?]a=b 1$", want: Passed, reason: "status 200"},
		{path: "/sick", want: Failed, reason: "status 503, want 200-299"},
		{path: "/to?/x", body: "^HTTP/2.0 GET www.example.com /x 1$", want: Passed, reason: "status 200"},
		{path: "/to?/x", stay: true, want: Failed, reason: "status 302, want 200-299"},
		{path: "/endless", want: Failed, reason: "body longer than 1024 KiB"},
		{path: "/long", want: Failed, reason: "HTTP/2: connection error: COMPRESSION_ERROR"},
		{path: "/hang", want: Failed, reason: "timeout after 750ms while waiting for the answer"},
	}
	for name, e := range map[string]*endpoint{"http": site(t, nil), "https": site(t, &cert)} {
		for _, c := range cases {
			t.Run(name+" "+c.path, func(t *testing.T) {
				check := http2Check(e)
				check.Type, check.TLS.CA = config.CheckType(name), a.file
				check.Path, check.Host, check.FollowRedirects = c.path, "www.example.com", !c.stay
				check.Headers = []config.Header{{Name: "X-A", Value: "1"}}
				if c.body != "" {
					check.Body = regexp.MustCompile(c.body)
				}
				if c.path == "/hang" {
					hurry(&check)
				}
				want(t, probeOnce(t, check, e), c.want, c.reason)
			})
		}
	}
}

func TestHTTP2ProbesOfEverythingElse(t *testing.T) {
	a := newAuthority(t)
	only1 := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}, NextProtos: []string{"http/1.1"}}
	cases := []struct {
		name   string
		handle func(net.Conn)
		change func(*config.Check)
		reason string // empty: any
	}{
		{name: "HTTP/1.1 alone", handle: says(page("200 OK", "")), reason: ""},
		{name: "a TLS server of HTTP/1.1 alone", handle: overConfig(only1, silent), change: overTLS(a), reason: "peer rejected the handshake: tls: no application protocol"},
		{
			name: "a TLS server that chooses nothing", handle: over(a.issue(t, nil), silent), change: overTLS(a),
			reason: `peer does not speak HTTP/2: of the protocols offered it chose "", want "h2"`,
		},
		{name: "noise without end", handle: endless("\x00\xff\x1b")},
		{name: "a hang", handle: silent, change: hurry, reason: "timeout after 750ms while waiting for the answer"},
		{name: "a hang-up", handle: func(net.Conn) {}},
		{name: "a reset", handle: resets},
		{name: "drips", handle: drips("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), change: hurry, reason: "timeout after 750ms while waiting for the answer"},
		{name: "settings without end", handle: endless("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), change: hurry},
		{name: "pings without end", handle: endless("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"), change: hurry},
		{name: "a header without end", handle: framed(continuations), change: hurry},
		{name: "informational answers without end", handle: framed(earlyHints), change: hurry},
		{name: "data that was never allowed", handle: framed(flood), change: hurry},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, c.handle)
			check := http2Check(e)
			if c.change != nil {
				c.change(&check)
			}
			r := probeOnce(t, check, e)
			if c.reason == "" {
				c.reason = r.Reason
			}
			want(t, r, Failed, c.reason)
		})
	}
}

func overTLS(a *authority) func(*config.Check) {
	return func(c *config.Check) { c.Type, c.Host, c.TLS.CA = config.HTTPS, "www.example.com", a.file }
}

// framed is a peer that starts HTTP/2 correctly and continues with misbehave.
func framed(misbehave func(*http2.Framer) error) func(net.Conn) {
	return func(conn net.Conn) {
		go io.Copy(io.Discard, conn)
		f := http2.NewFramer(conn, conn)
		for err := f.WriteSettings(); err == nil; {
			err = misbehave(f)
		}
	}
}

func fields(pairs ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return b.Bytes()
}

func continuations(f *http2.Framer) error {
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(":status", "200")})
	for err == nil {
		err = f.WriteContinuation(1, false, fields("x", strings.Repeat("y", 1000)))
	}
	return err
}

func earlyHints(f *http2.Framer) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(":status", "103"), EndHeaders: true})
}

func flood(f *http2.Framer) error {
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(":status", "200"), EndHeaders: true})
	for err == nil {
		err = f.WriteData(1, false, make([]byte, 16<<10))
	}
	return err
}
