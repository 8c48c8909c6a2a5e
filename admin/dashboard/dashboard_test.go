package dashboard_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"meridian/admin/dashboard"
)

func get(path string, header map[string]string) *http.Response {
	r := httptest.NewRequest("GET", path, http.NoBody)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	dashboard.ServeHTTP(w, r)
	return w.Result()
}

func TestFiles(t *testing.T) {
	for path, kind := range map[string]string{
		"/": "text/html", "/index.html": "text/html", "/app.js": "text/javascript", "/style.css": "text/css", "/world.json": "application/json", "/icon.svg": "image/svg+xml",
	} {
		plain, zipped := get(path, nil), get(path, map[string]string{"Accept-Encoding": "gzip, br"})
		if got := plain.Header.Get("Content-Type"); plain.StatusCode != http.StatusOK || !strings.HasPrefix(got, kind) {
			t.Errorf("%s: %d %s, want %s", path, plain.StatusCode, got, kind)
		}
		want, _ := io.ReadAll(plain.Body)
		r, err := gzip.NewReader(zipped.Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got, _ := io.ReadAll(r); string(got) != string(want) || len(want) == 0 {
			t.Errorf("%s: %d bytes compressed, %d plain", path, len(got), len(want))
		}
		if again := get(path, map[string]string{"If-None-Match": plain.Header.Get("ETag")}); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %d, want 304", path, again.StatusCode)
		}
	}
	if dashboard.Has("/v1/status") || dashboard.Has("/../dashboard.go") || get("/nothing", nil).StatusCode != http.StatusNotFound {
		t.Error("paths without a file are served")
	}
}

func TestPageIsConfined(t *testing.T) {
	h := get("/", nil).Header
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if !strings.HasPrefix(h.Get(name), want) {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	if policy := h.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
}

// TestNothingIsLoadedFromElsewhere looks for URLs of other hosts.
func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	known := regexp.MustCompile(`^https?://(www\.w3\.org/|github\.com/leeoniya/uPlot)`) // name spaces, a licence
	urls := regexp.MustCompile(`https?://[^\s"'` + "`" + `)]+`)
	for _, path := range []string{"/", "/app.js", "/style.css"} {
		body, _ := io.ReadAll(get(path, nil).Body)
		for _, url := range urls.FindAllString(string(body), -1) {
			if !known.MatchString(url) {
				t.Errorf("%s has %s", path, url)
			}
		}
	}
}
