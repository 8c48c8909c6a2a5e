package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meridian/admin"
)

const guarded = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
GUARDRAILS
regions: {east: {location: [0, 0]}, west: {location: [40, -100]}, north: {location: [60, 20]}}
pools:
  web:
    policy: proximity
    members:
      - {name: a, region: east, addresses: [127.0.0.86]}
      - {name: b, region: west, addresses: [127.0.0.87]}
      - {name: c, region: north, addresses: [127.0.0.88]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// send sends a request with header fields, which are pairs, and returns the response.
func send(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := asked(method, path, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	validateResponse(t, method, path, w)
	return w
}

// expectCode checks the code of a response and that its body contains a text.
func expectCode(t *testing.T, w *httptest.ResponseRecorder, code int, want string) {
	t.Helper()
	if w.Code != code || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, code, want)
	}
}

func TestOverrideOfEachKindAndTarget(t *testing.T) {
	h, _ := serveWorld(t, strings.Replace(guarded, "GUARDRAILS", "", 1), admin.Options{})
	for _, body := range []string{`{"target": "*", "kind": "weight", "value": "0%"}`, `{"target": "*", "kind": "drained"}`} {
		expectCode(t, send(t, h, "PUT", "/v1/overrides", body), 409, `would leave no answer for www.example.com.`)
	}
	for _, c := range []struct {
		body string
		code int
		want string
	}{
		{`{"target": "web/a", "kind": "weight", "value": "20%", "for": "2h"}`, 200, `"value": "20%"`},
		{`{"target": "web/b", "kind": "down"}`, 200, `"kind": "forced down"`},
		{`{"target": "web/b", "kind": "up"}`, 200, `"kind": "forced up"`},
		{`{"target": "address:127.0.0.88", "kind": "drained"}`, 200, `"target": "address:127.0.0.88"`},
		{`{"target": "region:w*", "kind": "weight", "value": "12.5%"}`, 200, `"target": "region:w*"`},
		{`{"target": "web/a", "kind": "weight"}`, 400, `is not a weight`},
		{`{"target": "web/a", "kind": "weight", "value": "120%"}`, 400, `0% to 100%`},
		{`{"target": "web/a", "kind": "weight", "value": "0x1p3%"}`, 400, `is not a weight`},
		{`{"target": "web/a", "kind": "drained", "value": "20%"}`, 400, `only weight has one`},
		{`{"target": "address:127.0.0.99", "kind": "drained"}`, 404, `no member matches`},
		{`{"target": "z*", "kind": "drained"}`, 404, `no member matches`},
		{`{"target": "web/b", "kind": "drained", "at": "` + time.Now().Add(time.Hour).Format(time.RFC3339) + `", "for": "1h"}`, 200, `"at": "2`},
		{`{"target": "web/b", "kind": "drained", "at": "2020-01-01T00:00:00Z"}`, 400, `it would begin at 2020-01-01T00:00:00Z`},
		{`{"target": "web/b", "kind": "drained", "at": "noon"}`, 400, `noon`},
	} {
		expectCode(t, send(t, h, "PUT", "/v1/overrides", c.body), c.code, c.want)
	}
	expectCode(t, send(t, h, "GET", "/v1/status?target=address:127.0.0.88", ""), 200, `"state": "drained"`)
	expectCode(t, send(t, h, "GET", "/v1/status?target=web/a", ""), 200, `"value": "20%"`)
	expectCode(t, send(t, h, "DELETE", "/v1/overrides?target=web/a&kind=weight", ""), 200, `"20%"`)
	expectCode(t, send(t, h, "GET", "/v1/forecast?target=web/a&kind=drained", ""), 200, `"moved"`)
}

// TestRemovalIsGuardedAsADrainIs removes a force up that is the only reason for an answer.
func TestRemovalIsGuardedAsADrainIs(t *testing.T) {
	world := strings.Replace(guarded, "GUARDRAILS", "checks: {c: {type: push}}", 1)
	world = strings.Replace(world, "policy: proximity", "policy: proximity\n    check: c\n    fail_open: never", 1)
	h, _ := serveWorld(t, world, admin.Options{})
	for _, address := range []string{"127.0.0.86", "127.0.0.87", "127.0.0.88"} {
		expectCode(t, send(t, h, "POST", "/v1/checks/c/reports", `{"address": "`+address+`", "up": false}`), 200, "")
	}
	expectCode(t, send(t, h, "PUT", "/v1/overrides", `{"target": "web/a", "kind": "up"}`), 200, "")
	w := send(t, h, "DELETE", "/v1/overrides?target=web/a", "")
	expectCode(t, w, 409, "removing the override of web/a would leave no answer for www.example.com.")
	expectCode(t, send(t, h, "DELETE", "/v1/overrides?target=web/a&force=true", ""), 200, "")
}

func TestStaleTagIsRefused(t *testing.T) {
	h, _ := serveWorld(t, strings.Replace(guarded, "GUARDRAILS", "", 1), admin.Options{})
	tag := send(t, h, "GET", "/v1/overrides", "").Header().Get("ETag")
	first := send(t, h, "PUT", "/v1/overrides", `{"target": "web/a", "kind": "drained"}`, "If-Match", `"x", `+tag)
	expectCode(t, first, 200, "")
	second := `{"target": "web/b", "kind": "drained"}`
	expectCode(t, send(t, h, "PUT", "/v1/overrides", second, "If-Match", tag), 412, "the overrides have changed")
	expectCode(t, send(t, h, "DELETE", "/v1/overrides?target=web/a", "", "If-Match", tag), 412, "the overrides have changed")
	expectCode(t, send(t, h, "PUT", "/v1/overrides", second, "If-Match", "W/"+first.Header().Get("ETag")), 412, "")
	expectCode(t, send(t, h, "PUT", "/v1/overrides", second, "If-Match", first.Header().Get("ETag")), 200, "")
	expectCode(t, send(t, h, "PUT", "/v1/overrides", second, "If-Match", "*"), 200, "")
}

func TestGuardrailsBindOverrides(t *testing.T) {
	drain := func(target, more string) string { return `{"target": "` + target + `", "kind": "drained"` + more + `}` }
	for _, c := range []struct{ guardrails, refused, name string }{
		{"guardrails: {freeze: true}", drain("web/a", ""), "freeze: true"},
		{"guardrails: {max_moved: 5%}", drain("region:west", ""), "max_moved: 5%"},
		{"guardrails: {min_live_regions: 3}", drain("web/a", ""), "min_live_regions: 3"},
		{"guardrails: {min_live_regions: 2}", `{"target": "region:*e*", "kind": "down"}`, "min_live_regions: 2"},
	} {
		h, _ := serveWorld(t, strings.Replace(guarded, "GUARDRAILS", c.guardrails, 1), admin.Options{})
		w := send(t, h, "PUT", "/v1/overrides", c.refused)
		expectCode(t, w, 409, "guardrail "+c.name)
		var p admin.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Guardrail != c.name {
			t.Errorf("%s: %+v %v", c.guardrails, p, err)
		}
		forced := strings.TrimSuffix(c.refused, "}")
		expectCode(t, send(t, h, "PUT", "/v1/overrides", forced+`, "force": true}`), 409, "guardrail")
		expectCode(t, send(t, h, "PUT", "/v1/overrides", forced+`, "override_guardrail": "incident 7"}`), 200, "")
		expectCode(t, send(t, h, "GET", "/v1/events?kind=audit&limit=1", ""), 200, `"override_guardrail": "incident 7"`)
	}
	h, _ := serveWorld(t, strings.Replace(guarded, "GUARDRAILS", "guardrails: {min_live_regions: 2}", 1), admin.Options{})
	expectCode(t, send(t, h, "PUT", "/v1/overrides", drain("web/a", "")), 200, "")
	expectCode(t, send(t, h, "PUT", "/v1/overrides", drain("web/b", "")), 409, `would leave pool \"web\" with live regions north only`)
}

func TestRequestIDIsEchoedOrMade(t *testing.T) {
	h := api(t, admin.Options{})
	w := send(t, h, "DELETE", "/v1/overrides?target=web/x", "", "X-Request-Id", "deploy-17")
	if got := w.Header().Get("X-Request-Id"); got != "deploy-17" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("id %q, type %q", got, w.Header().Get("Content-Type"))
	}
	expectCode(t, w, 404, `"instance": "urn:meridian:request:deploy-17"`)
	expectCode(t, send(t, h, "GET", "/v1/events?kind=audit&limit=1", ""), 200, `"request": "deploy-17"`)
	for _, id := range []string{"", "a b", strings.Repeat("x", 200), "é"} {
		if got := send(t, h, "GET", "/v1/version", "", "X-Request-Id", id).Header().Get("X-Request-Id"); got == id || len(got) < 20 {
			t.Errorf("%q is answered with %q", id, got)
		}
	}
}
