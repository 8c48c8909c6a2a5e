package admin_test

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"meridian/admin"
	"meridian/control"
)

// request is a request of a client, by the route of the API that it is for.
type request struct{ route, path, body, kind string }

// requestsOf returns requests for every route of the API; some routes have several.
func requestsOf(world string) []request {
	const yaml = "application/yaml"
	return []request{
		{"GET /v1/status", "/v1/status", "", ""},
		{"GET /v1/status", "/v1/status?detail=member", "", ""},
		{"GET /v1/status", "/v1/status?target=web", "", ""},
		{"GET /v1/overrides", "/v1/overrides", "", ""},
		{"PUT /v1/overrides", "/v1/overrides", `{"target": "web/use-1", "kind": "weight", "value": "20%"}`, ""},
		{"POST /v1/overrides", "/v1/overrides", `{"target": "api/sae-1", "kind": "drained", "for": "1h"}`, ""},
		{"DELETE /v1/overrides", "/v1/overrides?target=api/sae-1", "", ""},
		{"GET /v1/filters", "/v1/filters", "", ""},
		{"PUT /v1/filters", "/v1/filters", `{"name": "flood", "types": ["ANY"], "action": "drop", "for": "1h"}`, ""},
		{"DELETE /v1/filters", "/v1/filters?name=flood", "", ""},
		{"POST /v1/reload", "/v1/reload", "", ""},
		{"POST /v1/upgrade", "/v1/upgrade", "now", "text/plain"}, // refused: it would start the test again
		{"GET /v1/config", "/v1/config", "", ""},
		{"PUT /v1/config", "/v1/config?max_moved=100%", world, yaml},
		{"POST /v1/config/check", "/v1/config/check", world, yaml},
		{"POST /v1/config/plan", "/v1/config/plan", world, yaml},
		{"GET /v1/config/generations", "/v1/config/generations", "", ""},
		{"POST /v1/config/rollback", "/v1/config/rollback", `{"generation": 1}`, ""},
		{"POST /v1/clear", "/v1/clear", `{"target": "web"}`, ""},
		{"POST /v1/checks/{check}/reports", "/v1/checks/told/reports", `{"address": "192.0.2.12", "up": false}`, ""},
		{"POST /v1/checks/{check}/reports", "/v1/checks/told/reports", `{"address": "192.0.2.12", "up": true}`, ""},
		{"POST /v1/zones/refresh", "/v1/zones/refresh", `{"zone": "example.com"}`, ""}, // refused: the zone has no primaries
		{"POST /v1/zones/notify", "/v1/zones/notify", `{"zone": "example.com"}`, ""},   // these are refused as well: it has no secondaries, and takes no updates
		{"POST /v1/zones/freeze", "/v1/zones/freeze", `{"zone": "example.com"}`, ""},
		{"POST /v1/zones/thaw", "/v1/zones/thaw", `{"zone": "example.com"}`, ""},
		{"POST /v1/probe", "/v1/probe", `{"check": "http", "address": "127.0.0.1"}`, ""},
		{"GET /v1/explain", "/v1/explain?name=www.example.com&client=81.2.69.160", "", ""},
		{"GET /v1/explain", "/v1/explain?name=www.example.com&client=81.2.69.160&down=web/euw-1", "", ""},
		{"GET /v1/explain", "/v1/explain?name=api.example.com&client=81.2.69.160&down=region:eu-west", "", ""},
		{"GET /v1/version", "/v1/version", "", ""},
		{"GET /v1/session", "/v1/session", "", ""},
		{"GET /v1/events", "/v1/events", "", ""},
		{"GET /v1/events/stream", "/v1/events/stream", "", ""},
		{"GET /v1/audit", "/v1/audit", "", ""},
		{"GET /v1/stats", "/v1/stats", "", ""},
		{"GET /v1/answers", "/v1/answers", "", ""},
		{"GET /v1/resolvers", "/v1/resolvers", "", ""},
		{"GET /v1/top", "/v1/top", "", ""},
		{"GET /v1/zones", "/v1/zones", "", ""},
		{"GET /v1/zones/export", "/v1/zones/export?zone=gslb.example.com", "", ""},
		{"GET /v1/keys", "/v1/keys", "", ""},
		{"GET /v1/regions", "/v1/regions", "", ""},
		{"GET /v1/cluster", "/v1/cluster", "", ""},
		{"GET /v1/forecast", "/v1/forecast?from=healthy", "", ""},
		{"GET /v1/forecast", "/v1/forecast?target=region:eu-west&kind=down", "", ""},
		{"GET /v1/openapi.json", "/v1/openapi.json", "", ""},
		{"GET /metrics", "/metrics", "", ""},
		{"GET /healthz", "/healthz", "", ""},
		{"GET /readyz", "/readyz", "", ""},
	}
}

// slow reports whether a request compiles a configuration or forecasts, which takes a processor for long.
func (q *request) slow() bool {
	return strings.HasPrefix(q.path, "/v1/forecast") || q.route == "POST /v1/reload" || strings.HasPrefix(q.path, "/v1/config") && q.body != ""
}

// TestConcurrentRequests sends every request of the API from several clients at once: first the same, then all in
// different orders. The race detector finds the handlers that share data without a lock; with it, the slow ones are sent
// too, once.
func TestConcurrentRequests(t *testing.T) {
	endpoint := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(endpoint.Close)
	_, port, _ := net.SplitHostPort(endpoint.Listener.Addr().String())
	world := browserWorldWith(t, port)
	h, _ := serveControl(t, world, func(c *control.Control) admin.Options {
		return admin.Options{Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // what the metrics read
			m, _ := c.Measure()
			json.NewEncoder(w).Encode(m.Overrides) //nolint:errcheck // the client has gone
		})}
	})
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	requests := requestsOf(world)
	for i := range requests { // the same request, which reads and writes the same data
		if q := &requests[i]; !q.slow() {
			concurrently(func(int) { exchangeHTTP(t, s.URL, q) })
		}
	}
	concurrently(func(client int) {
		for _, i := range rand.New(rand.NewPCG(1, uint64(client))).Perm(len(requests)) {
			if q := &requests[i]; !q.slow() || raceEnabled && i%clients == client {
				exchangeHTTP(t, s.URL, q)
			}
		}
	})
}

// clients is how many send requests at once: without the race detector, which finds most of what can go wrong, enough to
// find maps that are written at the same time.
var clients = map[bool]int{false: 2, true: 8}[raceEnabled]

// concurrently runs f for each client at once.
func concurrently(f func(client int)) {
	var running sync.WaitGroup
	for client := range clients {
		running.Go(func() { f(client) })
	}
	running.Wait()
}

// TestConcurrentRequestsHaveEveryRoute checks that requestsOf has a request for each route of the API.
func TestConcurrentRequestsHaveEveryRoute(t *testing.T) {
	h := api(t, admin.Options{})
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(send(t, h, "GET", "/v1/openapi.json", "").Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range requestsOf(world) {
		known[r.route] = true
	}
	for path, methods := range document.Paths {
		for method := range methods {
			if route := strings.ToUpper(method) + " " + path; !known[route] {
				t.Errorf("no request for %s", route)
			}
		}
	}
}

// exchangeHTTP sends a request and reads the answer; of a stream only its beginning. It may be refused, but must not fail.
func exchangeHTTP(t *testing.T, server string, q *request) {
	method, _, _ := strings.Cut(q.route, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, server+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Error(err)
		return
	}
	if r.Header.Set("Content-Type", "application/json"); q.kind != "" {
		r.Header.Set("Content-Type", q.kind)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	limit := int64(1 << 30)
	if strings.HasSuffix(q.path, "/stream") {
		limit = 1
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, limit))
	if err != nil || answer.StatusCode >= 500 || answer.StatusCode == http.StatusBadRequest {
		t.Errorf("%s: %s %.300s: %v", q.route, answer.Status, text, err)
	}
}
