package admin_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/admin"
)

// listening returns the address of the real listener of the API.
func listening(t *testing.T, h http.Handler) string {
	t.Helper()
	var loaded struct{ Admin string }
	_, body := answered(h, asked("POST", "/v1/reload", ""))
	if err := json.Unmarshal([]byte(body), &loaded); err != nil || loaded.Admin == "" {
		t.Fatalf("%s: %v", body, err)
	}
	return loaded.Admin
}

// TestHundredEventStreams opens more streams than the API allows: those over the limit are refused or disconnected, and
// other requests are answered.
func TestHundredEventStreams(t *testing.T) {
	address := listening(t, api(t, admin.Options{}))
	open, refused := 0, 0
	for range 100 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // of an open connection
		io.WriteString(c, "GET /v1/events/stream HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		switch {
		case err != nil, strings.Contains(line, " 503 "):
			refused++
		case strings.Contains(line, " 200 "):
			open++
		default:
			t.Fatalf("answer %q", line)
		}
	}
	if open != 24 || refused != 76 {
		t.Errorf("%d open, %d refused; want 24 and 76", open, refused)
	}
	client := http.Client{Timeout: time.Minute}
	for _, path := range []string{"/healthz", "/v1/status", "/v1/events", "/"} {
		r, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the status is enough
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s with 24 open streams: %s", path, r.Status)
		}
	}
}

// TestForeignPagesReadNothing checks that neither a page of another origin nor a name that resolves to the address of the
// API (DNS rebinding) gets data or changes something; only the files of the dashboard have none, and are free.
func TestForeignPagesReadNothing(t *testing.T) {
	h := api(t, admin.Options{Metrics: http.NotFoundHandler()})
	foreign := map[string]func(*http.Request){
		"foreign Origin":    func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"Origin null":       func(r *http.Request) { r.Header.Set("Origin", "null") },
		"another port":      func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:9000") },
		"cross-site fetch":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"rebinding by Host": func(r *http.Request) { r.Host = "evil.example:8053" },
		"rebinding with its own Origin": func(r *http.Request) {
			r.Host = "evil.example:8053"
			r.Header.Set("Origin", "http://evil.example:8053")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		},
	}
	for name, change := range foreign {
		for _, path := range []string{"/v1/status", "/v1/events", "/v1/events/stream", "/v1/audit", "/v1/answers", "/v1/session", "/v1/explain?name=www.example.com", "/metrics"} {
			r := asked("GET", path, "")
			change(r)
			if code, body := answered(h, r); code != http.StatusForbidden || strings.Contains(body, "127.0.0.86") {
				t.Errorf("%s: GET %s: %d %.200s", name, path, code, body)
			}
		}
		r := asked("POST", "/v1/overrides", `{"target": "web/b", "kind": "drained"}`)
		change(r)
		if code, _ := answered(h, r); code != http.StatusForbidden {
			t.Errorf("%s: a drain: %d", name, code)
		}
	}
	if _, body := answered(h, asked("GET", "/v1/overrides", "")); body != `{ "overrides": [] }` {
		t.Errorf("overrides of foreign pages: %s", body)
	}
}
