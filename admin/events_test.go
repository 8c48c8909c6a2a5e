package admin_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/admin"
	"meridian/control/event"
)

// events returns the events that a request lists.
func events(t *testing.T, h http.Handler, path string) (p admin.EventPage) {
	t.Helper()
	code, body := answered(h, asked("GET", path, ""))
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d %s: %v", path, code, body, err)
	}
	return p
}

func TestEveryChangeIsAudited(t *testing.T) {
	h := api(t, admin.Options{})
	last := uint64(0)
	if p := events(t, h, "/v1/events?limit=1"); len(p.Events) > 0 {
		last = p.Events[0].ID
	}
	for _, c := range []struct{ method, path, body, what, subject, result string }{
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "forced up", "reason": "test"}`, "set an override", "web/b", "done"},
		{"POST", "/v1/overrides", `{"target": "web/x", "kind": "drained"}`, "set an override", "web/x", "refused with 404"},
		{"DELETE", "/v1/overrides?target=web/b", "", "remove an override", "web/b", "done"},
		{"POST", "/v1/clear", `{"target": "web"}`, "clear holds", "web", "done"},
		{"POST", "/v1/clear", `{`, "clear holds", "", "refused with 400"},
	} {
		answered(h, asked(c.method, c.path, c.body))
		p := events(t, h, "/v1/events?kind=audit&limit=1")
		if len(p.Events) != 1 || p.Events[0].ID <= last {
			t.Fatalf("%s %s: no audit record", c.method, c.path)
		}
		e := p.Events[0]
		last = e.ID
		if e.Subject != c.subject || e.Fields["what"] != c.what || e.Fields["result"] != c.result || e.Fields["who"] != "local" || e.Fields["from"] == "" {
			t.Errorf("%s %s: %+v", c.method, c.path, e)
		}
	}
	if p := events(t, h, "/v1/events?kind=override&subject=web"); len(p.Events) != 2 || p.Events[0].Message != "forced up set: test" {
		t.Errorf("overrides: %+v", p.Events)
	}
	first := events(t, h, "/v1/events?since=0&limit=2")
	if rest := events(t, h, "/v1/events?since=2"); first.Next != 2 || len(rest.Events) == 0 || rest.Events[0].ID != 3 {
		t.Errorf("pages: next %d, then %+v", first.Next, rest.Events)
	}
	for _, path := range []string{"/v1/events?since=x", "/v1/events?limit=0", "/v1/events?limit=100000", "/v1/events?before=1"} {
		if code, body := answered(h, asked("GET", path, "")); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestEventStream(t *testing.T) {
	h := api(t, admin.Options{})
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	answered(h, asked("POST", "/v1/clear", `{"target": "web"}`))
	answered(h, asked("POST", "/v1/clear", `{"target": "web"}`))
	before := events(t, h, "/v1/events?kind=audit")
	open := func(path string, header string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", header)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	next := func(lines *bufio.Scanner) (e event.Event) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Fatal(err)
				}
				return e
			}
		}
		t.Fatal("the stream ended")
		return e
	}
	old := open("/v1/events/stream?kind=audit&since=0", "")
	if kind := old.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %s", kind)
	}
	lines := bufio.NewScanner(old.Body)
	for _, want := range before.Events {
		if got := next(lines); got.ID != want.ID {
			t.Errorf("event %d, want %d", got.ID, want.ID)
		}
	}
	fresh := bufio.NewScanner(open("/v1/events/stream?kind=audit", "").Body)
	fresh.Scan() // the comment that begins the stream
	answered(h, asked("POST", "/v1/clear", `{"target": "web"}`))
	a, b := next(lines), next(fresh)
	if a.ID != b.ID || a.ID <= before.Events[1].ID {
		t.Errorf("events %d and %d after %d", a.ID, b.ID, before.Events[1].ID)
	}
	for range 22 {
		open("/v1/events/stream", "")
	}
	if full := open("/v1/events/stream", ""); full.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("stream 25: %s, want 503", full.Status)
	}
}

func TestRoles(t *testing.T) {
	secret := strings.Repeat("v", 20)
	h := api(t, admin.Options{Tokens: []admin.Token{
		{Name: "wall", Role: admin.Viewer, Secret: secret}, {Name: "oncall", Role: admin.Operator, Secret: secret + "o"},
	}})
	for _, c := range []struct {
		method, path, body, token string
		code                      int
	}{
		{"GET", "/v1/status", "", secret, 200},
		{"GET", "/v1/forecast?target=region:east&kind=down", "", secret, 200},
		{"GET", "/v1/session", "", secret, 200},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "forced up"}`, secret, 403},
		{"DELETE", "/v1/overrides?target=web/b", "", secret, 403},
		{"POST", "/v1/clear", `{"target": "web"}`, secret, 403},
		{"POST", "/v1/reload", `{}`, secret, 403},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": false}`, secret, 403},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "forced up"}`, secret + "o", 200},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "forced up"}`, secret + "x", 401},
		{"GET", "/v1/status", "", "", 401},
		{"GET", "/", "", "", 200}, // the page has no data
	} {
		r := asked(c.method, c.path, c.body)
		r.Header.Set("Authorization", "Bearer "+c.token)
		if code, body := answered(h, r); code != c.code {
			t.Errorf("%s %s with %q: %d %.200s, want %d", c.method, c.path, c.token, code, body, c.code)
		}
	}
	r := asked("GET", "/v1/events?kind=audit", "")
	r.Header.Set("Authorization", "Bearer "+secret)
	if _, body := answered(h, r); !strings.Contains(body, `"who": "oncall"`) {
		t.Errorf("audit: %s", body)
	}
}

// TestOrigins checks which web pages may send requests.
func TestOrigins(t *testing.T) {
	h := api(t, admin.Options{})
	for _, c := range []struct {
		host, origin, site string
		code               int
	}{
		{"127.0.0.1:8053", "", "", 200},
		{"127.0.0.1:8053", "http://127.0.0.1:8053", "", 200},
		{"127.0.0.1:8053", "http://127.0.0.1:8053", "same-origin", 200},
		{"127.0.0.1:8053", "http://127.0.0.1:9000", "same-site", 403},
		{"127.0.0.1:8053", "http://127.0.0.1:9000", "", 403},
		{"127.0.0.1:8053", "http://evil.example", "cross-site", 403},
		{"127.0.0.1:8053", "", "cross-site", 403},
		{"127.0.0.1:8053", "null", "", 403},
		{"evil.example:8053", "http://evil.example:8053", "same-origin", 403}, // DNS rebinding
	} {
		r := asked("POST", "/v1/clear", `{"target": "web"}`)
		r.Host = c.host
		for name, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if code, body := answered(h, r); code != c.code {
			t.Errorf("%+v: %d %s", c, code, body)
		}
	}
}

func TestForecast(t *testing.T) {
	h := api(t, admin.Options{})
	for _, c := range []struct {
		query string
		code  int
		want  string
	}{
		{"from=healthy", 200, `"served"`},
		{"target=web/b&kind=drained", 200, `"moved": 1`}, // a fails its check, so b answers everything
		{"target=web/a&kind=down", 200, `"moved": 0,`},
		{"target=web/a&kind=forced+up", 200, `"moved": 1`},
		{"target=web/b&kind=off", 200, `"moved": 0,`},
		{"target=web/b&kind=weight&value=0%25", 200, `"moved": 1`},
		{"target=web/b&kind=weight&value=120%25", 400, `is not a weight`},
		{"target=web/b&kind=weight", 400, `is not a weight`},
		{"target=web/x&kind=down", 404, `no member`},
		{"target=web&kind=sideways", 400, `known: down, drained`},
		{"from=healthy&target=web", 400, `without target`},
		{"kind=down", 400, `is not a target`},
	} {
		code, body := answered(h, asked("GET", "/v1/forecast?"+c.query, ""))
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %.600s\nwant %d %s", c.query, code, body, c.code, c.want)
		}
	}
}
