package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"meridian/admin"
)

func TestProbeNow(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "full", http.StatusServiceUnavailable) }))
	t.Cleanup(endpoint.Close)
	at, err := url.Parse(endpoint.URL)
	if err != nil {
		t.Fatal(err)
	}
	probed := strings.Replace(world, "checks:\n", "checks:\n  http: {type: http, port: "+at.Port()+", path: /healthz}\n", 1)
	h, _ := serveWorld(t, probed, admin.Options{})
	for _, c := range []struct {
		body string
		code int
		want string
	}{
		{`{"check": "http", "address": "127.0.0.1"}`, 200, `"result": "failed", "reason": "status 503`},
		{`{"check": "http", "address": "127.0.0.1"}`, 200, `"step": "connect"`},
		{`{"check": "http", "address": "127.0.0.1"}`, 200, `"found": "GET http://127.0.0.1:` + at.Port() + `/healthz"`},
		{`{"check": "htp", "address": "127.0.0.1"}`, 404, `no check \"htp\"; did you mean \"http\"?`},
		{`{"check": "told", "address": "127.0.0.1"}`, 404, `has no probe: another system reports its states`},
		{`{"check": "http"}`, 400, `check or address is missing`},
		{`{"address": "127.0.0.1"}`, 400, `check or address is missing`},
		{`{"check": "http", "address": "localhost"}`, 400, `invalid body`},
		{`{"check": "http", "address": "127.0.0.1", "port": 80}`, 400, `unknown field \"port\"`},
	} {
		w := send(t, h, "POST", "/v1/probe", c.body)
		if body := strings.Join(strings.Fields(w.Body.String()), " "); w.Code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s\nwant %d %s", c.body, w.Code, body, c.code, c.want)
		}
	}
	if last := audit(t, h, "/v1/audit?limit=1").Audit[0]; last.Fields["what"] != "probe" {
		t.Errorf("audit: %+v", last)
	}
}
