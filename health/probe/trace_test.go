package probe

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

// traced runs one probe of server by c and returns its report.
func traced(t *testing.T, server *httptest.Server, c config.Check) Report {
	t.Helper()
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	c.Name, c.Port, c.Timeout = "web", int(at.Port()), 10*time.Second
	ready, problems := New(&c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return ready.Trace(t.Context(), at.Addr(), SystemDial, slog.New(slog.DiscardHandler))
}

func names(steps []Step) (all []string) {
	for _, s := range steps {
		all = append(all, s.Name)
	}
	return all
}

func TestTraceRecordsEachStepOfAProbe(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusFound)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	ok := []config.StatusRange{{From: 200, To: 299}}
	for _, c := range []struct {
		name   string
		server *httptest.Server
		check  config.Check
		steps  []string
		found  string // in one of the steps
		result string
	}{
		{
			"http", plain,
			config.Check{Type: config.HTTP, Method: "GET", Path: "/", Status: ok},
			[]string{"connect", "request", "response", "body"},
			"HTTP/1.1 200 OK", "passed: status 200",
		},
		{
			"unwanted status", plain,
			config.Check{Type: config.HTTP, Method: "GET", Path: "/old", Status: ok},
			[]string{"connect", "request", "response"},
			"HTTP/1.1 302 Found to /new", "failed: status 302, want 200-299",
		},
		{
			"redirect", plain,
			config.Check{Type: config.HTTP, Method: "GET", Path: "/old", Status: ok, FollowRedirects: true},
			[]string{"connect", "request", "response", "connect", "request", "response", "body"},
			"/new", "passed: status 200",
		},
		{
			"https", secure,
			config.Check{Type: config.HTTPS, Method: "GET", Path: "/", Status: ok, Secure: true, TLS: config.CheckTLS{Insecure: true}},
			[]string{"connect", "tls", "request", "response", "body"},
			"TLS 1.3, ", "passed: status 200",
		},
		{
			"untrusted certificate", secure,
			config.Check{Type: config.TLS, Secure: true},
			[]string{"connect", "tls"},
			" from 127.0.0.1:", "failed: certificate is ",
		},
		{
			"tcp", plain,
			config.Check{Type: config.TCPConnect, Send: "GET / HTTP/1.0\r\n\r\n"},
			[]string{"connect", "request"},
			`"GET / HTTP/1.0\r\n\r\n"`, "passed: connected",
		},
		{
			"not TLS", plain,
			config.Check{Type: config.TLS, Secure: true},
			[]string{"connect", "tls"},
			" from ", "failed: peer does not speak TLS",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := traced(t, c.server, c.check)
			if got := names(r.Steps); !slices.Equal(got, c.steps) {
				t.Errorf("steps %q, want %q", got, c.steps)
			}
			if !slices.ContainsFunc(r.Steps, func(s Step) bool { return strings.Contains(s.Found, c.found) }) {
				t.Errorf("no step has %q: %+v", c.found, r.Steps)
			}
			if got := r.Result + ": " + r.Reason; !strings.HasPrefix(got, c.result) {
				t.Errorf("result %q, want %q", got, c.result)
			}
			if got := r.Expires != nil; got != (c.name == "https") {
				t.Errorf("expiry of the certificate %v", r.Expires)
			}
		})
	}
}

func TestTraceAccountsForTheWholeTime(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	r := traced(t, server, config.Check{Type: config.HTTP, Method: "GET", Path: "/", Status: []config.StatusRange{{From: 404, To: 404}}})
	sum := 0.0
	for _, s := range r.Steps {
		sum += s.Seconds
	}
	if sum <= 0 || sum > r.Seconds+1e-9 {
		t.Errorf("steps take %g s of %g s", sum, r.Seconds)
	}
}
