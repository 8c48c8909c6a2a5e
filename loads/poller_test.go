package loads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

func text(r Report) string { return fmt.Sprintf("%g of %g", r.Load, r.Capacity) }

// testPoller is a poller with a dialer that connects to a function instead of a network.
type testPoller struct {
	*Poller
	log   lockedLog
	mu    sync.Mutex
	serve func(c net.Conn) // serves a connection and closes it
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func newWorld(t *testing.T) *testPoller {
	w := &testPoller{}
	w.Poller = New(Options{
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Dial: func(context.Context, string, string) (net.Conn, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.serve == nil {
				return nil, errors.New("connection refused")
			}
			ours, theirs := net.Pipe()
			go w.serve(theirs)
			return ours, nil
		},
	})
	t.Cleanup(w.Close)
	return w
}

func (w *testPoller) answer(say func(net.Conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serve = say
}

// respondWith returns a server that answers every request with body.
func respondWith(body string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		_, _ = c.Read(make([]byte, 4096))
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	}
}

func connections(n int) func(net.Conn) {
	return respondWith(fmt.Sprintf("Active connections: %d \n", n))
}

func nginxSource() *config.LoadSource {
	return &config.LoadSource{Name: "web", Type: config.Nginx, Port: 80, Path: "/s", Interval: time.Second, Timeout: time.Second / 2, Stale: 3 * time.Second}
}

var addr = netip.MustParseAddr("192.0.2.1")

func follow(t *testing.T, w *testPoller, targets ...Target) *Watch {
	t.Helper()
	f, err := w.Follow(targets)
	if err != nil {
		t.Fatal(err)
	}
	f.FirstRound(t.Context())
	return f
}

func TestStaleReportIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answer(connections(7))
		f := follow(t, w, Target{nginxSource(), addr})
		if s := f.Status()[0]; !s.Fresh || text(s.Report) != "7 of 0" || s.Failures != 0 {
			t.Fatalf("%+v", s)
		}
		w.answer(nil)
		time.Sleep(2 * time.Second) // synthetic time
		synctest.Wait()
		if s := f.Status()[0]; !s.Fresh || s.Failures == 0 || s.Reason != "connection refused" {
			t.Errorf("before it is stale: %+v", s)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s := f.Status()[0]; s.Fresh || s.Load != 7 {
			t.Errorf("when it is stale: %+v", s)
		}
		w.answer(connections(8))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := f.Status()[0]; !s.Fresh || s.Load != 8 || s.Reason != "" {
			t.Errorf("afterwards: %+v", s)
		}
		for line, want := range map[string]int{"load report failed": 1, "load report is stale": 1, "load report recovered": 1} {
			if got := w.log.count(line); got != want {
				t.Errorf("%q is in the log %d times, want %d:\n%s", line, got, want, &w.log.b)
			}
		}
	})
}

func TestInvalidResponsesAreFailures(t *testing.T) {
	for behaviour, c := range map[string]struct {
		say  func(net.Conn)
		want string
	}{
		"slow":    {func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() }, "no whole report within the timeout"},
		"garbage": {respondWith("it works"), `no "Active connections:" in the report`},
		"no HTTP": {func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); _, _ = c.Write([]byte("220 smtp\r\n")); c.Close() }, `net/http: HTTP/1.x transport connection broken: malformed HTTP status code "smtp"`},
		"another status": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
			c.Close()
		}, "status 503, want 200"},
		"a redirect": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")
			c.Close()
		}, "status 302, want 200"},
		"nobody": {nil, "connection refused"},
		"an endless body": {func(c net.Conn) {
			defer c.Close()
			_, _ = c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
			for block := make([]byte, 1<<20); ; {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}, "report longer than 8 MiB"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.answer(c.say)
				f := follow(t, w, Target{nginxSource(), addr})
				s := f.Status()[0]
				if s.Fresh || s.Polls != 1 || s.Failures != 1 || s.Reason != c.want {
					t.Errorf("%+v\nwant %s", s, c.want)
				}
				w.Close()
				synctest.Wait()
			})
		})
	}
}

// A target that is named twice is polled once, until its last follower closes.
func TestTargetIsPolledOnceForAllFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answer(connections(1))
		other := nginxSource()
		other.Name, other.Pos = "renamed", config.Pos{Line: 9, Column: 9}
		first := follow(t, w, Target{nginxSource(), addr}, Target{other, addr}, Target{other, addr.Next()})
		second := follow(t, w, Target{other, addr})
		if n := len(w.targets); n != 2 {
			t.Errorf("%d targets, want 2", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if polls := second.Status()[0].Polls; polls < 9 || polls > 13 {
			t.Errorf("%d polls in 10 intervals", polls)
		}
		first.Close()
		first.Close()
		if s := second.Status()[0]; !s.Fresh {
			t.Errorf("after the other's end: %+v", s)
		}
		second.Close()
		synctest.Wait()
		if n := len(w.targets); n != 0 {
			t.Errorf("%d targets left", n)
		}
	})
}

func TestChangesAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answer(connections(1))
		follow(t, w, Target{nginxSource(), addr})
		for range 3 {
			<-w.Changes()
		}
	})
}

func TestReportsOverTLSAreVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"host": %q, "path": %q, "load": 3}`, r.Host, r.URL.RequestURI())
	}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	of := config.LoadSource{
		Name: "web", Type: config.JSON, Port: int(at.Port()), Path: "/load?full=1", Secure: true,
		Load: config.Reading{Path: []string{"load"}}, Interval: time.Hour, Timeout: 5 * time.Second, Stale: 3 * time.Hour,
	}
	p := New(Options{Logger: slog.New(slog.DiscardHandler)})
	defer p.Close()
	insecure, strict, byURL := of, of, of
	insecure.TLS.Insecure = true
	byURL.URL, byURL.TLS.Insecure = server.URL+"/x", true
	f, err := p.Follow([]Target{{&insecure, at.Addr()}, {&strict, at.Addr()}, {&byURL, netip.Addr{}}})
	if err != nil {
		t.Fatal(err)
	}
	f.FirstRound(t.Context())
	all := f.Status()
	if text(all[0].Report) != "3 of 0" || text(all[2].Report) != "3 of 0" {
		t.Errorf("%+v", all)
	}
	if all[1].Fresh || !strings.Contains(all[1].Reason, "certificate") {
		t.Errorf("unknown authority: %+v", all[1])
	}
}

func TestPrepareReportsUnreadableFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "ca.pem")
	cfg := &config.Config{File: "f", Loads: []config.LoadSource{{Name: "web", TLS: config.CheckTLS{CA: missing, CAPos: config.Pos{Line: 3, Column: 7}}}}}
	err := Prepare(cfg)
	if err == nil || !strings.Contains(err.Error(), "f:3:7: loads.web.tls.ca: cannot read") {
		t.Errorf("%v", err)
	}
	p := New(Options{})
	defer p.Close()
	if _, err := p.Follow([]Target{{&cfg.Loads[0], addr}}); err == nil || len(p.targets) != 0 {
		t.Errorf("followed: %v", err)
	}
	cfg.Loads[0].TLS.CA = "poller_test.go"
	if err := Prepare(cfg); err == nil || !strings.Contains(err.Error(), "no PEM certificate in") {
		t.Errorf("%v", err)
	}
}
