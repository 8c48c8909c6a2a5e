package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/admin"
	"meridian/counterpart"
)

// TestFilterRequests adds a rule, which then applies, and removes it; and sends requests that are refused.
func TestFilterRequests(t *testing.T) {
	world := strings.Replace(world, "workers: 1}", "workers: 1, filter: [{name: own, types: [TXT], action: refuse}]}", 1)
	h, address := serveWorld(t, world, admin.Options{})
	rcode := func(qtype uint16) string {
		t.Helper()
		in, err := counterpart.Exchange(new(dns.Msg).SetQuestion("www.example.com.", qtype), address)
		if err != nil {
			t.Fatal(err)
		}
		return dns.RcodeToString[in.Rcode]
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		contains           string
	}{
		{"GET", "/v1/filters", "", 200, `"name": "own"`},
		{"PUT", "/v1/filters", `{"name": "a", "names": ["*.example.com"], "types": ["a"], "action": "refuse", "for": "1h", "reason": "flood"}`, 200, `"until": "2`},
		{"GET", "/v1/filters", "", 200, `"names": [` + "\n        " + `"*.example.com."`},
		{"PUT", "/v1/filters", `{"name": "a", "types": ["A"], "action": "refuse"}`, 400, `no duration`},
		{"PUT", "/v1/filters", `{"name": "a", "action": "refuse", "for": "1h"}`, 400, `matches every query`},
		{"PUT", "/v1/filters", `{"name": "a", "types": ["A"], "action": "slip", "for": "1h"}`, 400, `unknown action \"slip\"; known: drop, refuse, truncate`},
		{"PUT", "/v1/filters", `{"name": "a", "types": ["NO"], "action": "drop", "for": "1h"}`, 400, `is not a record type`},
		{"PUT", "/v1/filters", `{"name": "a", "names": [".."], "action": "drop", "for": "1h"}`, 400, `is not a domain name`},
		{"PUT", "/v1/filters", `{"name": "a", "source": ["here"], "action": "drop", "for": "1h"}`, 400, `neither an address nor a network`},
		{"PUT", "/v1/filters", `{"name": "", "types": ["A"], "action": "drop", "for": "1h"}`, 400, `is not a name of a rule`},
		{"PUT", "/v1/filters", `{"name": "own", "types": ["A"], "action": "drop", "for": "1h"}`, 409, `the configuration has a rule \"own\"`},
		{"PUT", "/v1/filters", `{"name": "a", "types": ["A"], "action": "drop", "for": "1h", "x": 1}`, 400, `unknown field \"x\"`},
		{"DELETE", "/v1/filters?name=own", "", 409, `is of the configuration`},
		{"DELETE", "/v1/filters?name=none", "", 404, `no rule \"none\" was added`},
		{"GET", "/v1/status", "", 200, `"reason": "flood"`},
		{"GET", "/v1/audit", "", 200, `"what": "set a filter rule"`},
		{"GET", "/v1/events?kind=filter", "", 200, `"rule set: refuses queries of type A for *.example.com."`},
	} {
		w := send(t, h, c.method, c.path, c.body)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.contains) {
			t.Errorf("%s %s %s: %d %s, want %d with %s", c.method, c.path, c.body, w.Code, w.Body, c.code, c.contains)
		}
	}
	if a, txt := rcode(dns.TypeA), rcode(dns.TypeTXT); a != "REFUSED" || txt != "REFUSED" {
		t.Errorf("with the rules: A %s, TXT %s", a, txt)
	}
	if w := send(t, h, "DELETE", "/v1/filters?name=a", ""); w.Code != 200 || rcode(dns.TypeA) != "NOERROR" {
		t.Errorf("after the rule is removed: %d %s, A %s", w.Code, w.Body, rcode(dns.TypeA))
	}
}

// TestFilterPreconditions changes rules with an ETag that is current, and with one that is old. Counts do not change it.
func TestFilterPreconditions(t *testing.T) {
	h, address := serveWorld(t, world, admin.Options{})
	put := func(tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/filters", strings.NewReader(`{"name": "a", "types": ["TXT"], "action": "refuse", "for": "1h"}`))
		r.Host = "127.0.0.1:8053"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("If-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	before := send(t, h, "GET", "/v1/filters", "").Header().Get("ETag")
	if w := put(`"another"`); w.Code != 412 {
		t.Errorf("with another tag: %d %s", w.Code, w.Body)
	}
	if w := put(before); w.Code != 200 || w.Header().Get("ETag") == before {
		t.Errorf("with the current tag: %d %s", w.Code, w.Body)
	}
	if w := put(before); w.Code != 412 {
		t.Errorf("with the old tag: %d %s", w.Code, w.Body)
	}
	current := send(t, h, "GET", "/v1/filters", "").Header().Get("ETag")
	if _, err := counterpart.Exchange(new(dns.Msg).SetQuestion("www.example.com.", dns.TypeTXT), address); err != nil {
		t.Fatal(err)
	}
	w := send(t, h, "GET", "/v1/filters", "")
	var found struct {
		Filters []struct{ Queries uint64 }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil || len(found.Filters) != 1 || found.Filters[0].Queries != 1 || w.Header().Get("ETag") != current {
		t.Errorf("%s %s, want the tag %s and a query", w.Header().Get("ETag"), w.Body, current)
	}
}
