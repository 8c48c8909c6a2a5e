package listener

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// openTest returns a listener that lets clients take an hour for a request, so that only the
// limit makes room. The log is complete when the listener is closed.
func openTest(t *testing.T, log io.Writer, handler http.HandlerFunc) *Listener {
	t.Helper()
	d, err := Open(netip.MustParseAddrPort("127.0.0.1:0"), nil, nil, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	d.http.ReadHeaderTimeout, d.http.ReadTimeout, d.http.IdleTimeout = time.Hour, time.Hour, time.Hour
	d.Serve(handler, new(Security))
	t.Cleanup(d.Close)
	return d
}

func visit(t *testing.T, d *Listener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// asks requests path on a new connection and returns the status code.
func asks(t *testing.T, d *Listener, path string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	alone := &http.Transport{DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := alone.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
	return got.StatusCode
}

// TestPartialRequestsDoNotBlockAdminListener checks, for several partial requests, that the
// handler answers other clients, and that the first connection closed for a new one is logged.
func TestPartialRequestsDoNotBlockAdminListener(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":       "",
		"part of head":  "GET / HTTP/1.1\r\nHost:",
		"no body":       "POST /v1/overrides HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"part of body":  "POST /v1/overrides HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
		"chunked body":  "POST /v1/overrides HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
		"body to GET":   "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"health body":   "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"whole request": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its connections to drain
			var log bytes.Buffer
			d := openTest(t, &log, func(http.ResponseWriter, *http.Request) {})
			for range maxConns + 6 {
				conn := visit(t, d)
				if _, err := io.WriteString(conn, sent); err != nil {
					t.Fatal(err)
				}
				if name != "whole request" {
					continue
				}
				if _, err := conn.Read(make([]byte, 12)); err != nil {
					t.Fatal(err)
				}
			}
			for _, path := range []string{"/healthz", "/readyz", "/v1/status"} {
				if code := asks(t, d, path); code != http.StatusOK {
					t.Errorf("%s: %d", path, code)
				}
			}
			d.Close()
			if name == "health body" { // answered immediately, and closed
				return
			}
			first, _, _ := strings.Cut(log.String(), "\n")
			if !strings.Contains(first, "transport=http limit=connections") || !strings.Contains(first, "closed=1") {
				t.Errorf("first line of the log: %s", first)
			}
		})
	}
}

// TestSlowReadersDoNotBlockAdminListener checks that connections with unread answers are closed
// for new ones.
func TestSlowReadersDoNotBlockAdminListener(t *testing.T) {
	handled := make(chan struct{}, maxRequests)
	d := openTest(t, io.Discard, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			handled <- struct{}{}
			_, _ = w.Write(make([]byte, 32<<20)) // more than the kernel buffers
		}
	})
	for range maxRequests {
		if _, err := io.WriteString(visit(t, d), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-handled
	}
	for range maxConns {
		if code := asks(t, d, "/healthz"); code != http.StatusOK {
			t.Fatalf("/healthz: %d", code)
		}
		visit(t, d)
	}
	eventually(t, "requests are answered again", func() bool { return asks(t, d, "/v1/status") == http.StatusOK })
}

// TestConnLimitKeepsRunningRequests checks that new requests get 503 at the limit, except
// health requests.
func TestConnLimitKeepsRunningRequests(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var log bytes.Buffer
	d := openTest(t, &log, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-release
		}
	})
	var slow []net.Conn
	for range maxRequests {
		conn := visit(t, d)
		if _, err := io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-begun
		slow = append(slow, conn)
	}
	for range 2 * maxConns {
		visit(t, d)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/v1/status": 503} {
		if code := asks(t, d, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	close(release)
	for _, conn := range slow {
		if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
			t.Errorf("a request that was being answered: %v", err)
		}
	}
	eventually(t, "requests are answered again", func() bool { return asks(t, d, "/v1/status") == http.StatusOK })
	d.Close()
	if !strings.Contains(log.String(), "transport=http limit=requests") {
		t.Errorf("log:\n%s", log.String())
	}
}

// TestLateBodyIsRejected checks that the error has the time limit of the body.
func TestLateBodyIsRejected(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/v1/overrides", iotest.ErrReader(os.ErrDeadlineExceeded))
	w := httptest.NewRecorder()
	d := &Listener{}
	var handler http.Handler = http.NotFoundHandler()
	d.handler.Store(&handler)
	d.ServeHTTP(w, r)
	if w.Code != http.StatusRequestTimeout || !strings.Contains(w.Body.String(), "within 5s") || w.Header().Get("Connection") != "close" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// TestHandlerReceivesWholeBody uses bodies shorter and longer than the part received before the
// handler runs.
func TestHandlerReceivesWholeBody(t *testing.T) {
	d := openTest(t, io.Discard, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	})
	for _, size := range []int{0, 1, bodyBuffer - 1, bodyBuffer, bodyBuffer + 1, 10 * bodyBuffer} {
		got, err := http.Post("http://"+d.Addr()+"/v1/overrides", "text/plain", bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		if want := fmt.Sprint(int64(size), error(nil)); err != nil || string(text) != want {
			t.Errorf("%d bytes: the handler saw %s, %v", size, text, err)
		}
		got.Body.Close()
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	const limit = 5 * time.Second
	for end := time.Now().Add(limit); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
