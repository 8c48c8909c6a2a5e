package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"meridian/admin"
)

func TestTopRequests(t *testing.T) {
	h, _ := serveWorld(t, world, admin.Options{})
	for _, c := range []struct {
		path     string
		code     int
		contains string
	}{
		{"/v1/top", http.StatusOK, `"names": []`},
		{"/v1/top?limit=1000", http.StatusOK, `"floods": []`},
		{"/v1/top?limit=0", http.StatusBadRequest, `limit \"0\" is not a number of entries`},
		{"/v1/top?limit=many", http.StatusBadRequest, `1 to 1000`},
		{"/v1/top?by=name", http.StatusBadRequest, `"hint": "known: limit"`},
	} {
		w := send(t, h, http.MethodGet, c.path, "")
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.contains) {
			t.Errorf("%s: %d\n%s\nwant %d and %s", c.path, w.Code, w.Body, c.code, c.contains)
		}
	}
	off, _ := serveWorld(t, strings.Replace(world, "workers: 1}", "workers: 1, top: {enabled: false}}", 1), admin.Options{})
	if w := send(t, off, http.MethodGet, "/v1/top", ""); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "queries are not sampled") {
		t.Errorf("off: %d\n%s", w.Code, w.Body)
	}
}
