package admin_test

import (
	"io"
	"net/http"
	"testing"

	"meridian/admin"
)

func TestMetricsNeedTheRightsOfTheAPI(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metric 1") })
	h := api(t, admin.Options{Metrics: metrics})
	if code, body := answered(h, asked("GET", "/metrics", "")); code != http.StatusOK || body != "metric 1" {
		t.Errorf("%d %s", code, body)
	}
	fromPage := asked("GET", "/metrics", "")
	fromPage.Host = "evil.example:8053"
	if code, _ := answered(h, fromPage); code != http.StatusForbidden {
		t.Errorf("for another host: %d, want %d", code, http.StatusForbidden)
	}
	if code, _ := answered(api(t, admin.Options{}), asked("GET", "/metrics", "")); code != http.StatusNotFound {
		t.Errorf("without metrics: %d, want %d", code, http.StatusNotFound)
	}
}
