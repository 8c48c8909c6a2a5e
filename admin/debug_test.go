package admin_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/admin"
)

func TestProfilesAreForAdminsWithDebug(t *testing.T) {
	secret := strings.Repeat("s", 20)
	tokens := []admin.Token{{Name: "wall", Role: admin.Viewer, Secret: secret + "v"}, {Name: "oncall", Role: admin.Operator, Secret: secret + "o"}, {Name: "lead", Role: admin.Admin, Secret: secret + "a"}}
	off, on, open := api(t, admin.Options{Tokens: tokens}), api(t, admin.Options{Tokens: tokens, Debug: true}), api(t, admin.Options{Debug: true})
	for name, c := range map[string]struct {
		h      http.Handler
		token  string
		method string
		path   string
		code   int
		body   string // part of it
	}{
		"off":                  {off, "a", "GET", "/debug/pprof/heap", 404, "write debug: true under admin, and reload"},
		"off, without a token": {off, "", "GET", "/debug/pprof/", 401, "missing or wrong token"},
		"without a token":      {on, "", "GET", "/debug/pprof/", 401, "missing or wrong token"},
		"viewer":               {on, "v", "GET", "/debug/pprof/heap", 403, "wall is of the role viewer, and may not do this"},
		"operator":             {on, "o", "GET", "/debug/pprof/cmdline", 403, "oncall is of the role operator, and may not do this"},
		"index":                {on, "a", "GET", "/debug/pprof/", 200, "goroutine"},
		"without users":        {open, "", "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		"unknown profile":      {on, "a", "GET", "/debug/pprof/nonsense", 404, "Unknown profile"},
		"other method":         {on, "a", "DELETE", "/debug/pprof/heap", 405, "Method Not Allowed"},
		"too long":             {on, "a", "GET", "/debug/pprof/profile?seconds=3600", 400, "want a number above 0, up to 300"},
		"no time":              {on, "a", "GET", "/debug/pprof/trace?seconds=0", 400, `seconds is \"0\"`},
		"not a number":         {on, "a", "GET", "/debug/pprof/profile?seconds=NaN", 400, `seconds is \"NaN\"`},
	} {
		r := asked(c.method, c.path, "")
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+secret+c.token)
		}
		if code, body := answered(c.h, r); code != c.code || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %.200s; want %d with %q", name, code, body, c.code, c.body)
		}
	}
}

// A profile is what go tool pprof reads: a gzipped protocol buffer.
func TestProfileIsWhole(t *testing.T) {
	w := httptest.NewRecorder()
	api(t, admin.Options{Debug: true}).ServeHTTP(w, asked("GET", "/debug/pprof/heap", ""))
	unzipped, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if profile, err := io.ReadAll(unzipped); err != nil || !strings.Contains(string(profile), "inuse_space") {
		t.Errorf("the profile has %d octets, %v; want inuse_space in it", len(profile), err)
	}
}
