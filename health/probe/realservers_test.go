package probe

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"meridian/config"
	"meridian/counterpart"
)

// Probes of real servers: nginx and haproxy from Debian, with certificates by openssl. Everything is on loopback.

func TestProbesOfRealServers(t *testing.T) {
	certs := opensslCerts(t)
	ports := counterpart.FreePorts(t, 6)
	counterpart.StartWith(t, "nginx", fmt.Sprintf(`
daemon off; master_process off; error_log stderr; pid %[1]s/nginx.pid;
events {}
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen 127.0.0.1:%[2]d; listen 127.0.0.1:%[3]d ssl http2;
    ssl_certificate %[1]s/good.pem; ssl_certificate_key %[1]s/key.pem;
    location /healthz { return 200 "all ok\n"; }
    location /sick { return 503; }
    location /moved { return 301 /healthz; }
  }
  server {
    listen 127.0.0.1:%[4]d ssl;
    ssl_certificate %[1]s/expired.pem; ssl_certificate_key %[1]s/key.pem;
  }
}
`, certs, ports[0], ports[1], ports[2]), "-c")
	counterpart.StartWith(t, "haproxy", fmt.Sprintf(`
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend plain
  bind 127.0.0.1:%[2]d
  http-request return status 200 content-type text/plain string "all ok" if { path /healthz }
frontend secure
  bind 127.0.0.1:%[3]d ssl crt %[1]s/both.pem alpn h2,http/1.1
  http-request return status 200 content-type text/plain string "all ok" if { path /healthz }
frontend nothing_behind
  bind 127.0.0.1:%[4]d
  default_backend none
backend none
`, certs, ports[3], ports[4], ports[5]), "-db", "-f")
	counterpart.AwaitListeners(t, ports...)
	type change = func(*config.Check)
	of := func(kind config.CheckType, port int, changes ...change) config.Check {
		c := httpCheck(&endpoint{AddrPort: netip.AddrPortFrom(netip.Addr{}, uint16(port))})
		c.Type, c.Host, c.TLS.CA = kind, "www.example.com", filepath.Join(certs, "ca.pem")
		for _, f := range changes {
			f(&c)
		}
		return c
	}
	path := func(p string) change { return func(c *config.Check) { c.Path = p } }
	body := func(re string) change { return func(c *config.Check) { c.Body = regexp.MustCompile(re) } }
	host := func(h string) change { return func(c *config.Check) { c.Host = h } }
	talk := func(send, expect string) change {
		return func(c *config.Check) { c.Send, c.Expect = send, regexp.MustCompile(expect) }
	}
	follow := func(c *config.Check) { c.FollowRedirects = true }
	http2 := func(c *config.Check) { c.HTTP2 = true }
	secure := func(c *config.Check) { c.Secure = true }
	expires := regexp.MustCompile("^certificate expires on [-0-9]{10}, in 29 days$")
	expired := regexp.MustCompile("^certificate expired on 2020-01-02$")
	mismatch := regexp.MustCompile(`^certificate is for "www.example.com", want "other.example"$`)
	ok, sick := regexp.MustCompile("^status 200$"), regexp.MustCompile("^status 503, want 200-299$")
	cases := []struct {
		name   string
		check  config.Check
		want   Outcome
		reason *regexp.Regexp
	}{
		{"nginx over http", of(config.HTTP, ports[0], body("ok")), Passed, ok},
		{"nginx over https", of(config.HTTPS, ports[1], body("ok")), Passed, ok},
		{"nginx answers 503", of(config.HTTP, ports[0], path("/sick")), Failed, sick},
		{"nginx redirects", of(config.HTTPS, ports[1], path("/moved"), follow), Passed, ok},
		{"nginx over tls", of(config.TLS, ports[1]), Passed, expires},
		{"nginx with an expired certificate", of(config.TLS, ports[2]), Failed, expired},
		{"nginx with an expired certificate, over https", of(config.HTTPS, ports[2]), Failed, expired},
		{"nginx with another name", of(config.TLS, ports[1], host("other.example")), Failed, mismatch},
		{"nginx without TLS", of(config.TLS, ports[0]), Failed, regexp.MustCompile("^peer does not speak TLS")},
		{"nginx over tcp", of(config.TCPConnect, ports[0], talk("nonsense\r\n\r\n", "400 Bad Request")), Passed, regexp.MustCompile("^answer matches")},
		{"haproxy over http", of(config.HTTP, ports[3], body("ok")), Passed, ok},
		{"haproxy over https", of(config.HTTPS, ports[4], body("ok")), Passed, ok},
		{"nginx over HTTP/2", of(config.HTTPS, ports[1], body("ok"), http2), Passed, ok},
		{"nginx over HTTP/2 in clear, which it is not set to", of(config.HTTP, ports[0], http2), Failed, regexp.MustCompile("^peer answered in HTTP/1, want HTTP/2$")},
		{"nginx over gRPC, which it does not serve", of(config.GRPC, ports[1], secure), Failed, regexp.MustCompile("^status 404, want a gRPC answer$")},
		{"haproxy over HTTP/2", of(config.HTTPS, ports[4], body("ok"), http2), Passed, ok},
		{"haproxy over HTTP/2 in clear", of(config.HTTP, ports[3], body("ok"), http2), Passed, ok},
		{"haproxy over tls", of(config.TLS, ports[4]), Passed, expires},
		{"haproxy with nothing behind it", of(config.HTTP, ports[5]), Failed, sick},
		{"haproxy over tcp", of(config.TCPConnect, ports[3]), Passed, regexp.MustCompile("^connected$")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := probeAddr(t, c.check, netip.MustParseAddr("127.0.0.1"))
			if r.Outcome != c.want || !c.reason.MatchString(r.Reason) {
				t.Errorf("%v: %s\nwant %v: %s", r.Outcome, r.Reason, c.want, c.reason)
			}
		})
	}
}

// opensslCerts returns a folder with an authority (ca.pem), a key (key.pem) and its certificates for www.example.com:
// good.pem for 30 days, expired.pem until 2020, and both.pem, the good one with its key.
func opensslCerts(t *testing.T) string {
	t.Helper()
	openssl := counterpart.Find(t, "openssl")
	dir := t.TempDir()
	config := filepath.Join(dir, "ca.conf")
	text := fmt.Sprintf(`[ca]
default_ca = own
[own]
database = %[1]s/index
new_certs_dir = %[1]s
serial = %[1]s/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[leaf]
subjectAltName = DNS:www.example.com
`, dir)
	for name, data := range map[string]string{"ca.conf": text, "index": "", "serial": "01\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		cmd := exec.Command(openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	newKey := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	run(append([]string{"req", "-x509", "-subj", "/CN=Test CA", "-days", "60", "-keyout", "ca.key", "-out", "ca.pem"}, newKey...)...)
	run(append([]string{"req", "-subj", "/CN=leaf", "-keyout", "key.pem", "-out", "leaf.csr"}, newKey...)...)
	sign := []string{"ca", "-batch", "-config", config, "-cert", "ca.pem", "-keyfile", "ca.key", "-extensions", "leaf", "-in", "leaf.csr", "-notext"}
	run(append(sign, "-days", "30", "-out", "good.pem")...)
	run(append(sign, "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-out", "expired.pem")...)
	var both []byte
	for _, name := range []string{"good.pem", "key.pem"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, data...)
	}
	if err := os.WriteFile(filepath.Join(dir, "both.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
