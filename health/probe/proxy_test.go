package probe

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	pb "google.golang.org/grpc/health/grpc_health_v1"

	"meridian/config"
	"meridian/counterpart"
)

// tcpConn is a connection with given addresses.
type tcpConn struct {
	net.Conn
	local, remote net.Addr
}

func (e tcpConn) LocalAddr() net.Addr  { return e.local }
func (e tcpConn) RemoteAddr() net.Addr { return e.remote }

func TestProxyHeaderNamesConnectionAddresses(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	unix := &net.UnixAddr{Name: "/run/app.sock", Net: "unix"}
	for _, c := range []struct {
		name          string
		version       int
		local, remote net.Addr
		want          string
	}{
		{"version 1 over IPv4", 1, tcp("127.0.0.1:4000"), tcp("127.0.0.2:80"), "PROXY TCP4 127.0.0.1 127.0.0.2 4000 80\r\n"},
		{"version 1 over IPv4 in IPv6 form", 1, tcp("[::ffff:127.0.0.1]:4000"), tcp("127.0.0.2:80"), "PROXY TCP4 127.0.0.1 127.0.0.2 4000 80\r\n"},
		{"version 1 over IPv6", 1, tcp("[fe80::1%lo]:4000"), tcp("[::1]:80"), "PROXY TCP6 fe80::1 ::1 4000 80\r\n"},
		{"version 1 over a socket", 1, unix, unix, "PROXY UNKNOWN\r\n"},
		{"version 2", 2, tcp("127.0.0.1:4000"), tcp("127.0.0.2:80"), "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
		{"version 2 over a socket", 2, unix, unix, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := proxyHeader(c.version, tcpConn{nil, c.local, c.remote}); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestProxyHeaderComesFirst(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, nil)
	inClear := func(wants string, next func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			header := make([]byte, len(wants))
			if _, err := io.ReadFull(conn, header); err == nil && string(header) == wants {
				next(conn)
			}
		}
	}
	line := func(next func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			got, _ := bufio.NewReaderSize(oneByOne{conn}, 16).ReadString('\n')
			want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n",
				conn.RemoteAddr().(*net.TCPAddr).Port, conn.LocalAddr().(*net.TCPAddr).Port)
			if got == want {
				next(conn)
			}
		}
	}
	greets := func(conn net.Conn) { io.WriteString(conn, "220 ready\r\n") }
	ok := says(page("200 OK", "ok"))

	http1 := httpCheck(serve(t, line(ok)))
	http1.ProxyProtocol = 1
	http2 := httpCheck(serve(t, inClear(proxyLocal, ok)))
	http2.ProxyProtocol = 2
	secure := httpsCheck(serve(t, inClear(proxyLocal, over(cert, ok))), a.file)
	secure.ProxyProtocol = 2
	mail := httpCheck(serve(t, line(greets)))
	mail.Type, mail.ProxyProtocol, mail.Expect = config.TCPConnect, 1, regexp.MustCompile("^220 ")
	without := httpCheck(serve(t, line(ok)))
	loopback := netip.MustParseAddr("127.0.0.1")
	want(t, probeAddr(t, http1, loopback), Passed, "status 200")
	want(t, probeAddr(t, http2, loopback), Passed, "status 200")
	want(t, probeAddr(t, secure, loopback), Passed, "status 200")
	want(t, probeAddr(t, mail, loopback), Passed, `answer matches "^220 "`)
	if r := probeAddr(t, without, loopback); r.Outcome != Failed {
		t.Errorf("without a header: %+v", r)
	}
}

// oneByOne reads no further than requested.
type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:1]) }

func TestSocketIsProbedInsteadOfAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	e := serveOn(t, "unix", path, func(conn net.Conn) {
		req, err := bufio.NewReader(conn).ReadString('H') // up to HTTP/1.1
		if err == nil && strings.HasPrefix(req, "GET /healthz ") {
			io.WriteString(conn, page("200 OK", "ok"))
			io.Copy(io.Discard, conn)
		}
	})
	check := httpCheck(e)
	check.Port, check.Unix = 0, path
	nowhere := netip.MustParseAddr("192.0.2.1")
	want(t, probeAddr(t, check, nowhere), Passed, "status 200")
	connects := config.Check{Type: config.TCPConnect, Unix: path, Timeout: check.Timeout}
	want(t, probeAddr(t, connects, nowhere), Passed, "connected")
	check.Unix += ".gone"
	want(t, probeAddr(t, check, nowhere), Failed, "connect: no such file or directory")
}

func TestHostOfSocketIsAddressWithoutPort(t *testing.T) {
	hosts := make(chan string, 1)
	path := filepath.Join(t.TempDir(), "app.sock")
	e := serveOn(t, "unix", path, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for line, err := r.ReadString('\n'); err == nil && line != "\r\n"; line, err = r.ReadString('\n') {
			if h, found := strings.CutPrefix(line, "Host: "); found {
				hosts <- strings.TrimSpace(h)
			}
		}
		io.WriteString(conn, page("200 OK", ""))
	})
	check := httpCheck(e)
	check.Port, check.Unix = 0, path
	want(t, probeAddr(t, check, netip.MustParseAddr("192.0.2.1")), Passed, "status 200")
	if host := <-hosts; host != "192.0.2.1" {
		t.Errorf("host %q", host)
	}
}

func TestGRPCServerOnSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	grpcServerOn(t, "unix", path, nil, map[string]pb.HealthCheckResponse_ServingStatus{"": pb.HealthCheckResponse_SERVING})
	check := grpcCheck(&endpoint{})
	check.Port, check.Unix = 0, path
	want(t, probeAddr(t, check, netip.MustParseAddr("192.0.2.1")), Passed, "server is SERVING")
}

// TestProbesOfRealServersWithProxyHeadersOrSockets uses haproxy, the origin of the PROXY protocol: its listeners accept
// headers of both versions, or drop the connection. nginx accepts them too.
func TestProbesOfRealServersWithProxyHeadersOrSockets(t *testing.T) {
	certs := opensslCerts(t)
	ports := counterpart.FreePorts(t, 3)
	counterpart.StartWith(t, "haproxy", fmt.Sprintf(`
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend plain
  bind 127.0.0.1:%[2]d accept-proxy
  bind unix@%[1]s/proxied.sock accept-proxy
  bind unix@%[1]s/haproxy.sock
  http-request return status 200 content-type text/plain lf-string "from %%[src]" if { path /healthz }
frontend secure
  bind 127.0.0.1:%[3]d accept-proxy ssl crt %[1]s/both.pem alpn h2,http/1.1
  http-request return status 200 content-type text/plain string "all ok" if { path /healthz }
`, certs, ports[0], ports[1]), "-db", "-f")
	counterpart.StartWith(t, "nginx", fmt.Sprintf(`
daemon off; master_process off; error_log stderr; pid %[1]s/nginx.pid;
events {}
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen 127.0.0.1:%[2]d proxy_protocol; listen unix:%[1]s/nginx.sock;
    location /healthz { return 200 "from $proxy_protocol_addr\n"; }
  }
}
`, certs, ports[2]), "-c")
	counterpart.AwaitListeners(t, ports...)
	of := func(kind config.CheckType, port, version int, body string) config.Check {
		c := httpCheck(&endpoint{AddrPort: netip.AddrPortFrom(netip.Addr{}, uint16(port))})
		c.Type, c.Host, c.TLS.CA = kind, "www.example.com", filepath.Join(certs, "ca.pem")
		c.ProxyProtocol, c.Body = version, regexp.MustCompile(body)
		return c
	}
	at := func(socket string, c config.Check) config.Check {
		c.Port, c.Unix = 0, filepath.Join(certs, socket)
		return c
	}
	http2 := of(config.HTTPS, ports[1], 2, "ok")
	http2.HTTP2 = true
	talks := of(config.TCPConnect, ports[0], 1, "")
	talks.Send, talks.Expect = "GET /healthz HTTP/1.0\r\n\r\n", regexp.MustCompile("from 127")
	for _, c := range []struct {
		name  string
		check config.Check
		want  Outcome
	}{
		{"haproxy by version 1", of(config.HTTP, ports[0], 1, "from 127.0.0.1"), Passed},
		{"haproxy by version 2", of(config.HTTP, ports[0], 2, "from 127.0.0.1"), Passed},
		{"haproxy without a header", of(config.HTTP, ports[0], 0, ""), Failed},
		{"haproxy over tls by version 1", of(config.HTTPS, ports[1], 1, "ok"), Passed},
		{"haproxy over tls by version 2", of(config.HTTPS, ports[1], 2, "ok"), Passed},
		{"haproxy over HTTP/2 by version 2", http2, Passed},
		{"haproxy over tls without a header", of(config.HTTPS, ports[1], 0, ""), Failed},
		{"haproxy's handshake by version 2", of(config.TLS, ports[1], 2, ""), Passed},
		{"haproxy over tcp by version 1", talks, Passed},
		{"haproxy on a socket", at("haproxy.sock", of(config.HTTP, 0, 0, "from")), Passed},
		{"haproxy on a socket by version 1", at("proxied.sock", of(config.HTTP, 0, 1, "from")), Passed},
		{"haproxy on a socket by version 2", at("proxied.sock", of(config.HTTP, 0, 2, "from")), Passed},
		{"nginx by version 1", of(config.HTTP, ports[2], 1, "from 127.0.0.1"), Passed},
		{"nginx by version 2", of(config.HTTP, ports[2], 2, "from \n"), Passed}, // LOCAL: no address is sent
		{"nginx without a header", of(config.HTTP, ports[2], 0, ""), Failed},
		{"nginx on a socket", at("nginx.sock", of(config.HTTP, 0, 0, "from \n")), Passed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := probeAddr(t, c.check, netip.MustParseAddr("127.0.0.1")); r.Outcome != c.want {
				t.Errorf("%v: %s\nwant %v", r.Outcome, r.Reason, c.want)
			}
		})
	}
}
