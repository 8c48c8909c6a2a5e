package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"meridian/admin"
)

// audit returns the audit records that a request lists.
func audit(t *testing.T, h http.Handler, path string) (p admin.AuditPage) {
	t.Helper()
	code, body := answered(h, asked("GET", path, ""))
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d %s: %v", path, code, body, err)
	}
	return p
}

func TestAuditListsOnlyAuditRecords(t *testing.T) {
	h := api(t, admin.Options{})
	if _, body := answered(h, asked("GET", "/v1/audit", "")); body != `{ "audit": [] }` {
		t.Errorf("at first: %s", body)
	}
	for _, body := range []string{`{"target": "web/b", "kind": "forced up"}`, `{"target": "web/b", "kind": "drained"}`, `{"target": "web/c", "kind": "forced up"}`} {
		answered(h, asked("POST", "/v1/overrides", body))
	}
	all := audit(t, h, "/v1/audit")
	if len(all.Audit) != 3 || all.Next != 0 {
		t.Fatalf("%+v", all)
	}
	for _, e := range all.Audit {
		if e.Kind != "audit" || e.Fields["what"] != "set an override" {
			t.Errorf("%+v", e)
		}
	}
	first := audit(t, h, "/v1/audit?since=0&limit=2")
	if len(first.Audit) != 2 || first.Next != first.Audit[1].ID {
		t.Fatalf("first page: %+v", first)
	}
	if of := audit(t, h, "/v1/audit?subject=web/c"); len(of.Audit) != 1 || of.Audit[0].Subject != "web/c" {
		t.Errorf("of web/c: %+v", of)
	}
	if code, body := answered(h, asked("GET", "/v1/audit?kind=state", "")); code != http.StatusBadRequest || !strings.Contains(body, `known: since, subject, limit`) {
		t.Errorf("with a kind: %d %s", code, body)
	}
}

// TestReportsAreAudited checks that a report is an audit record if it differs from the last one for its address.
func TestReportsAreAudited(t *testing.T) {
	h := api(t, admin.Options{})
	const path = "/v1/checks/told/reports"
	for _, c := range []struct {
		body string
		want string // the audit record; empty: none
	}{
		{`{"address": "127.0.0.88", "up": true, "reason": "first"}`, "check:told/127.0.0.88 report up by local: done (first)"},
		{`{"address": "127.0.0.88", "up": true, "reason": "again"}`, ""},
		{`{"address": "127.0.0.88", "up": false, "reason": "out of licences"}`, "check:told/127.0.0.88 report down by local: done (out of licences)"},
		{`{"address": "127.0.0.88", "up": false}`, ""},
		{`{"address": "127.0.0.99", "up": true}`, "check:told/127.0.0.99 report up by local: refused with 404 ()"},
		{`{"address": "127.0.0.99", "up": true}`, ""},
		{`{"address": `, "check:told report by local: refused with 400 ()"},
		{`{"address": "127.0.0.88", "up": true}`, "check:told/127.0.0.88 report up by local: done ()"},
	} {
		before := len(audit(t, h, "/v1/audit").Audit)
		answered(h, asked("POST", path, c.body))
		all := audit(t, h, "/v1/audit").Audit
		got := ""
		if len(all) > before {
			e := all[len(all)-1]
			got = e.Subject + " " + e.Message + " (" + e.Fields["reason"] + ")"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.body, got, c.want)
		}
	}
}
