package admin_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/admin"
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
	if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "upgrade") {
		t.Errorf("%d: audit %s", w.Code, body)
	}
}
