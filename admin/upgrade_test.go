package admin_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/admin"
	"meridian/control"
)

// TestAbandonedUpgradeRequestIsNotRecordedAsRefused ends a request for an upgrade while it waits: the upgrade goes on.
func TestAbandonedUpgradeRequestIsNotRecordedAsRefused(t *testing.T) {
	handler := api(t, admin.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "http://127.0.0.1/v1/upgrade", nil))
	if body := w.Body.String(); strings.Contains(body, "keeps serving") {
		t.Errorf("answer %s", body)
	}
	w = httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/v1/audit", nil))
	if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "refused") {
		t.Errorf("%d: audit %s", w.Code, body)
	}
}

// TestResponseToUpgradeIsAsDescribed compares what a server that has been replaced answers with the description: the servers
// of these tests cannot be replaced.
func TestResponseToUpgradeIsAsDescribed(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(control.Upgraded{Version: "v2", PID: 2, PreviousVersion: "v1", PreviousPID: 1, Took: 5}); err != nil {
		t.Fatal(err)
	}
	validateResponse(t, "POST", "/v1/upgrade", w)
}
