package admin

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
)

// maxProfile is the longest CPU profile or trace, in seconds. A client that leaves does not end one, and there can be only one
// CPU profile at a time.
const maxProfile = 300

// profiles returns the handler of the profiles of the Go runtime below /debug/pprof/, for users of the role admin: profiles and
// command lines tell much about a server, and a CPU profile slows it down. It answers during a start, too.
func (a *api) profiles() http.Handler {
	if !a.Debug {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			problem(w, http.StatusNotFound, "profiles are off", "write debug: true under admin, and reload")
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return adminOnly(func(w http.ResponseWriter, r *http.Request) {
		if s := r.URL.Query().Get("seconds"); s != "" {
			if n, err := strconv.ParseFloat(s, 64); err != nil || !(n > 0 && n <= maxProfile) {
				problem(w, http.StatusBadRequest, fmt.Sprintf("seconds is %q", s), fmt.Sprintf("want a number above 0, up to %d", maxProfile))
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}
