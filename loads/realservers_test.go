package loads

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"meridian/config"
	"meridian/counterpart"
)

// These tests read reports of real servers: nginx and haproxy from Debian, each with connections that the test holds
// open, all on loopback.

func TestRealServers(t *testing.T) {
	ports := counterpart.FreePorts(t, 3)
	dir := t.TempDir()
	counterpart.StartWith(t, "nginx", fmt.Sprintf(`
daemon off; master_process off; error_log stderr; pid %[1]s/nginx.pid;
events {}
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d; location /basic_status { stub_status; } }
}
`, dir, ports[0]), "-c")
	counterpart.StartWith(t, "haproxy", fmt.Sprintf(`
defaults
  mode http
  timeout connect 60s
  timeout client 60s
  timeout server 60s
frontend www
  mode tcp
  maxconn 250
  bind 127.0.0.1:%[1]d
  default_backend web
backend web
  mode tcp
  fullconn 80
  server s 127.0.0.1:%[2]d
frontend stats
  bind 127.0.0.1:%[3]d
  stats enable
  stats uri /haproxy?stats
  http-request use-service prometheus-exporter if { path /metrics }
`, ports[1], ports[0], ports[2]), "-db", "-f")
	counterpart.AwaitListeners(t, ports...)
	const held = 5 // connections to haproxy, each with one from haproxy to nginx
	for range held {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[1]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	metric := func(name, proxy string) config.Reading {
		return config.Reading{Metric: name, Labels: []config.Label{{Name: "proxy", Value: proxy}}}
	}
	at := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		behaviour string
		source    config.LoadSource
		want      string
	}{
		{"nginx", config.LoadSource{Type: config.Nginx, Port: ports[0], Path: "/basic_status"}, "6 of 0"}, // includes the poll itself
		{"haproxy's backend", config.LoadSource{Type: config.HAProxy, Port: ports[2], Path: "/haproxy?stats;csv", Backend: "web"}, "5 of 80"},
		{"haproxy's frontend", config.LoadSource{Type: config.HAProxy, URL: fmt.Sprintf("http://127.0.0.1:%d/haproxy?stats;csv", ports[2]), Frontend: "www"}, "5 of 250"},
		{"haproxy's metrics", config.LoadSource{
			Type: config.Prometheus, Port: ports[2], Path: "/metrics",
			Load: metric("haproxy_frontend_current_sessions", "www"), Capacity: metric("haproxy_frontend_limit_sessions", "www"),
		}, "5 of 250"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			f := newFetcher(Target{&c.source, at}, nil, new(net.Dialer).DialContext)
			counterpart.Await(t, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				r, err := f.fetch(ctx)
				if err == nil && text(r) != c.want {
					err = fmt.Errorf("%s, want %s", text(r), c.want)
				}
				return err
			})
		})
	}
}
