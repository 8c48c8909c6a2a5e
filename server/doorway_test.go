package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// openedDoor is a door whose guests may take an hour for a request, so that nothing
// but its doorway makes room.
func openedDoor(t *testing.T, handler http.HandlerFunc) *door {
	t.Helper()
	d, err := openDoor(netip.MustParseAddrPort("127.0.0.1:0"), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.http.ReadHeaderTimeout, d.http.ReadTimeout, d.http.IdleTimeout = time.Hour, time.Hour, time.Hour
	d.serve(handler)
	t.Cleanup(d.close)
	return d
}

func visit(t *testing.T, d *door) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", d.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// asks is the code of the answer to a request of its own.
func asks(t *testing.T, ctx context.Context, d *door) (int, error) {
	t.Helper()
	alone := &http.Transport{DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.addr()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := alone.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return got.StatusCode, got.Body.Close()
}

// TestSilentConnectionsKeepNobodyOut: neither those that never said a word nor
// those that did once.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	for name, say := range map[string]string{
		"never a word": "",
		"idle":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := openedDoor(t, func(http.ResponseWriter, *http.Request) {})
			for range 70 {
				conn := visit(t, d)
				if say == "" {
					continue
				}
				if _, err := io.WriteString(conn, say); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 12)); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for range 10 {
				if code, err := asks(t, ctx, d); code != http.StatusOK {
					t.Fatalf("%d, %v", code, err)
				}
			}
		})
	}
}

// TestWhoIsBeingAnsweredStays however many come: those wait.
func TestWhoIsBeingAnsweredStays(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	d := openedDoor(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-release
		}
	})
	var slow []net.Conn
	for range doorMost {
		conn := visit(t, d)
		if _, err := io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-begun
		slow = append(slow, conn)
	}
	waits := make(chan error, 1)
	go func() { _, err := asks(t, t.Context(), d); waits <- err }()
	close(release)
	for _, conn := range slow {
		if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
			t.Errorf("one that was being answered: %v", err)
		}
	}
	if err := <-waits; err != nil {
		t.Errorf("one that waited: %v", err)
	}
}

func TestADoorClosesWhileSomebodyWaits(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	d := openedDoor(t, func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; <-release })
	for range doorMost {
		if _, err := io.WriteString(visit(t, d), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-begun
	}
	visit(t, d)
	d.close()
	close(release)
}
