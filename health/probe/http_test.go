package probe

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"meridian/config"
)

func TestHTTPProbeReasons(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	ok := regexp.MustCompile("ok")
	cases := []struct {
		name   string
		handle func(net.Conn)
		change func(*config.Check)
		want   Outcome
		reason string
	}{
		{name: "answers 204", handle: says("HTTP/1.1 204 No Content\r\n\r\n"), want: Passed, reason: "status 204"},
		{name: "answers 500", handle: says(page("500 Oops", "")), want: Failed, reason: "status 500, want 200-299"},
		{
			name: "answers outside several ranges", handle: says(page("302 Found", "")), want: Failed, reason: "status 302, want 200,204-206",
			change: func(c *config.Check) { c.Status = []config.StatusRange{{From: 200, To: 200}, {From: 204, To: 206}} },
		},
		{
			name: "answers in the second range", handle: says(page("418 Teapot", "")), want: Passed, reason: "status 418",
			change: func(c *config.Check) { c.Status = []config.StatusRange{{From: 200, To: 200}, {From: 418, To: 418}} },
		},
		{
			name: "body matches", handle: says(page("200 OK", "all ok")), want: Passed, reason: "status 200",
			change: func(c *config.Check) { c.Body = ok },
		},
		{
			name: "body does not match", handle: says(page("200 OK", "down\x1b[2J\nfor repair")), want: Failed,
			reason: `body does not match "ok"; it begins "down\x1b[2J\nfor repair"`,
			change: func(c *config.Check) { c.Body = ok },
		},
		{
			name: "long body matches at its beginning", handle: says(page("200 OK", "ok"+strings.Repeat("x", 200<<10))), want: Passed, reason: "status 200",
			change: func(c *config.Check) { c.Body = ok },
		},
		{
			name: "long body matches behind what is looked at", handle: says(page("200 OK", strings.Repeat("x", maxMatch)+"ok")), want: Failed,
			reason: `body does not match "ok"; it begins "` + strings.Repeat("x", maxExcerpt) + `"...`,
			change: func(c *config.Check) { c.Body = ok },
		},
		{
			name: "compressed body is not unpacked", handle: says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped("ok")), want: Failed,
			reason: `body is compressed (gzip), which the request does not accept; it does not match "^ok$"`,
			change: func(c *config.Check) { c.Body = regexp.MustCompile("^ok$") },
		},
		{
			name: "compressed body as it was asked for", handle: says("HTTP/1.1 200 OK\r\nContent-Encoding: x\r\n\r\nko"), want: Failed,
			reason: `body does not match "ok"; it begins "ko"`,
			change: func(c *config.Check) { c.Body, c.Headers = ok, []config.Header{{Name: "accept-encoding", Value: "x"}} },
		},
		{
			name: "body that is said to be as it is", handle: says("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\nko"), want: Failed,
			reason: `body does not match "ok"; it begins "ko"`,
			change: func(c *config.Check) { c.Body = ok },
		},
		{
			name: "compressed bomb", want: Passed, reason: "status 200",
			handle: says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped(strings.Repeat("\x00", 100<<20))),
		},
		{name: "body of declared length beyond all bounds", handle: then(says("HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"), endless(strings.Repeat("x", 4096))), want: Passed, reason: "status 200"},
		{name: "endless body", handle: then(says("HTTP/1.1 200 OK\r\n\r\n"), endless(strings.Repeat("x", 4096))), want: Failed, reason: "body longer than 1024 KiB"},
		{name: "endless chunks", handle: then(says(chunked), endless(strings.Repeat("3\r\nabc\r\n", 100))), want: Failed, reason: "body longer than 1024 KiB"},
		{name: "endless chunk extensions", handle: then(says(chunked), endless("1;"+strings.Repeat("e", 4000)+"\r\na\r\n")), want: Failed},
		{name: "endless header", handle: then(says("HTTP/1.1 200 OK\r\n"), endless("X-More: of the same\r\n")), want: Failed, reason: "header of the answer longer than 64 KiB"},
		{name: "endless header line", handle: then(says("HTTP/1.1 200 OK\r\nX: "), endless(strings.Repeat("x", 4096))), want: Failed, reason: "header of the answer longer than 64 KiB"},
		{name: "endless informational answers", handle: then(says(""), endless("HTTP/1.1 103 Early Hints\r\n\r\n")), want: Failed, reason: "header of the answer longer than 64 KiB"},
		{name: "informational answers before the final one", handle: says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + page("200 OK", "")), want: Passed, reason: "status 200"},
		{name: "switches protocols", handle: says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), want: Failed, reason: "status 101, want 200-299"},
		{name: "hangs", handle: silent, change: hurry, want: Failed, reason: "timeout after 750ms while waiting for the answer"},
		{name: "drips its header", handle: then(says("HTTP/1.1 200 OK\r\n"), drips("X: y\r\n")), change: hurry, want: Failed, reason: "timeout after 750ms while waiting for the answer"},
		{name: "drips its body", handle: then(says("HTTP/1.1 200 OK\r\n\r\n"), drips("ok")), change: hurry, want: Failed, reason: "timeout after 750ms while reading the body"},
		{name: "stops in its body", handle: says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), want: Failed, reason: "connection closed while reading the body"},
		{name: "resets in its body", handle: then(says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), resets), want: Failed, reason: "read: connection reset by peer while reading the body"},
		{name: "resets at the request", handle: then(says(""), resets), want: Failed, reason: "read: connection reset by peer while waiting for the answer"},
		{name: "closes without an answer", handle: says(""), want: Failed, reason: "connection closed while waiting for the answer"},
		{name: "speaks no HTTP", handle: says("220 mail.example.com ESMTP\r\n"), want: Failed, reason: `malformed HTTP status code "mail.example.com"`},
		{name: "speaks binary", handle: says("\x15\x03\x01\x00\x02\x02\x16\n"), want: Failed, reason: `malformed HTTP response "\x15\x03\x01\x00\x02\x02\x16"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, c.handle)
			check := httpCheck(e)
			if c.change != nil {
				c.change(&check)
			}
			r := probeOnce(t, check, e)
			if c.reason == "" {
				c.reason = r.Reason // any
			}
			want(t, r, c.want, c.reason)
			if len(r.Reason) > maxReason+100 {
				t.Errorf("a reason of %d bytes", len(r.Reason))
			}
		})
	}
}

func hurry(c *config.Check) { c.Timeout = shortTimeout }

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func TestHTTPConnectReasons(t *testing.T) {
	e := serve(t, silent)
	check := httpCheck(e)
	check.Port = closedPort(t)
	want(t, probeOnce(t, check, e), Failed, "connect: connection refused")
}

// closedPort returns a port of 127.0.0.1 without a listener.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestRequestFollowsCheck(t *testing.T) {
	cases := []struct {
		name   string
		addr   string
		port   int
		change func(*config.Check)
		want   string
	}{
		{
			name: "of the defaults", addr: "192.0.2.1", port: 8080,
			want: "GET /healthz HTTP/1.1\r\nHost: 192.0.2.1:8080\r\nUser-Agent: meridian\r\nConnection: close\r\n\r\n",
		},
		{
			name: "to the scheme's own port over IPv6", addr: "2001:db8::1", port: 80,
			want: "GET /healthz HTTP/1.1\r\nHost: [2001:db8::1]\r\nUser-Agent: meridian\r\nConnection: close\r\n\r\n",
		},
		{
			name: "with all settings", addr: "192.0.2.1", port: 8080,
			change: func(c *config.Check) {
				c.Method, c.Path, c.Host = "HEAD", "/a%20b?full=1&x", "www.example.com"
				c.Headers = []config.Header{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "user-agent", Value: "probe"}}
			},
			want: "HEAD /a%20b?full=1&x HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: probe\r\nConnection: close\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
		},
		{
			name: "with an address as host, and a path that looks like one", addr: "192.0.2.1", port: 8080,
			change: func(c *config.Check) { c.Host, c.Path = "2001:db8::2", "//b.example/x" },
			want:   "GET //b.example/x HTTP/1.1\r\nHost: [2001:db8::2]\r\nUser-Agent: meridian\r\nConnection: close\r\n\r\n",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check := httpCheck(&endpoint{AddrPort: netip.AddrPortFrom(netip.Addr{}, uint16(c.port))})
			if c.change != nil {
				c.change(&check)
			}
			made, flaws := New(&check)
			if len(flaws) > 0 {
				t.Fatal(flaws)
			}
			tr := &attempt{Check: made, addr: netip.MustParseAddr(c.addr)}
			var got strings.Builder
			v := request{method: check.Method, url: tr.firstURL(), port: check.Port}
			if err := tr.request(v).Write(&got); err != nil || got.String() != c.want {
				t.Errorf("%v, request\n%q, want\n%q", err, got.String(), c.want)
			}
		})
	}
}

func TestProxyEnvironmentIsIgnored(t *testing.T) {
	e := serve(t, says(page("200 OK", "")))
	for _, name := range []string{"http_proxy", "HTTP_PROXY", "all_proxy"} {
		t.Setenv(name, fmt.Sprintf("http://127.0.0.1:%d", closedPort(t)))
	}
	want(t, probeOnce(t, httpCheck(e), e), Passed, "status 200")
}

func TestEachProbeOpensOwnConnection(t *testing.T) {
	e := serve(t, then(says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"), silent))
	for range 3 {
		want(t, probeOnce(t, httpCheck(e), e), Passed, "status 200")
	}
	if n := e.connections(); n != 3 {
		t.Errorf("%d connections for 3 probes", n)
	}
}

// redirector answers by path: /to?URL redirects, /loop redirects to itself with a longer path, others return method, host
// and path in the body.
func redirector(conn net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	switch req.URL.Path {
	case "/to", "/keep":
		status := map[string]string{"/to": "302 Found", "/keep": "307 Temporary Redirect"}[req.URL.Path]
		fmt.Fprintf(conn, "HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 99\r\n\r\n", status, req.URL.RawQuery)
	case "/loop":
		fmt.Fprintf(conn, "HTTP/1.1 301 Moved\r\nLocation: /loop?%sx\r\n\r\n", req.URL.RawQuery)
	default:
		fmt.Fprint(conn, page("200 OK", req.Method+" "+req.Host+" "+req.URL.String()))
	}
}

func TestRedirects(t *testing.T) {
	e := serve(t, redirector)
	port := fmt.Sprint(e.Port())
	cases := []struct {
		name, path, body string
		method           string
		stay             bool // follow_redirects is false
		want             Outcome
		reason           string
	}{
		{name: "are not followed unless asked", path: "/to?/x", stay: true, want: Failed, reason: "status 302, want 200-299"},
		{name: "to a path are followed", path: "/to?/x", body: "^GET a.example /x$", want: Passed, reason: "status 200"},
		{name: "to another host stay at the address", path: "/to?http://b.example:" + port + "/x", body: "^GET b.example:" + port + " /x$", want: Passed, reason: "status 200"},
		{name: "relative to the path", path: "/to?y", body: "^GET a.example /y$", want: Passed, reason: "status 200"},
		{name: "make GET of POST", method: "POST", path: "/to?/x", body: "^GET ", want: Passed, reason: "status 200"},
		{name: "with 307 keep the method", method: "POST", path: "/keep?/x", body: "^POST ", want: Passed, reason: "status 200"},
		{name: "that loop end", path: "/loop", want: Failed, reason: `more than 5 redirects, the last to "http://a.example/loop?xxxxxx"`},
		{name: "to other schemes are refused", path: "/to?file:///etc/passwd", want: Failed, reason: `redirect to "file:///etc/passwd", want http or https`},
		{name: "to no host are refused", path: "/to?http:///x", want: Failed, reason: `redirect to "http:///x", want http or https`},
		{name: "to nonsense are refused", path: "/to?http://[x/", want: Failed, reason: `redirect to "http://[x/", want a URL`},
		{name: "to no port are refused", path: "/to?http://b.example:0/", want: Failed, reason: `redirect to port "0", want 1 to 65535`},
		{name: "to a dead port fail", path: "/to?http://b.example:" + fmt.Sprint(closedPort(t)) + "/", want: Failed, reason: "connect: connection refused"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check := httpCheck(e)
			check.Path, check.Host, check.FollowRedirects = c.path, "a.example", !c.stay
			if c.method != "" {
				check.Method = c.method
			}
			if c.body != "" {
				check.Body = regexp.MustCompile(c.body)
			}
			want(t, probeOnce(t, check, e), c.want, c.reason)
		})
	}
}

// FuzzHTTPAnswer answers with random data: a probe never panics, and every reason is short and printable.
func FuzzHTTPAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "HTTP/1.1 200 OK\r\n\r\nok", "HTTP/1.1 999\r\n\r\n", "HTTP/1.0 301 x\nLocation: http://[::1%25]/\n\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 308 \r\nLocation: \x01\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	check := httpCheck(&endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:80")})
	check.Body, check.FollowRedirects = regexp.MustCompile("ok"), true
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := probePiped(t, check, answer)
		if strings.Contains(r.Reason, "panic") || r.Reason == "" {
			t.Errorf("reason %q", r.Reason)
		}
		wantPrintable(t, r.Reason)
	})
}

// BenchmarkProbeHTTP measures one probe of a local endpoint, including the endpoint's own work.
func BenchmarkProbeHTTP(b *testing.B) {
	e := serve(b, says(page("200 OK", "ok")))
	check := httpCheck(e)
	c, _ := New(&check)
	log := slog.New(slog.DiscardHandler)
	b.ReportAllocs()
	for b.Loop() {
		if r, _ := c.Probe(b.Context(), e.Addr(), SystemDial, log); r.Outcome != Passed {
			b.Fatal(r.Reason)
		}
	}
}
