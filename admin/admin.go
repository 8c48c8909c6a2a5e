// Package admin is the HTTP API of a running server: how it stands, what an
// operator tells it, what others report to it.
//
//	GET    /v1/status?target=T          how the members of T stand; all without T
//	GET    /v1/overrides                what operators have said
//	POST   /v1/overrides                {target, kind, reason, for}: drain or force
//	DELETE /v1/overrides?target=T&kind=K   undo it; any kind without K
//	POST   /v1/reload                   {allow_removal}: load the configuration again
//	POST   /v1/clear                    {target}: end what holds it down
//	POST   /v1/checks/NAME/reports      {address, up, reason, lease}: the verdict of a check of type push
//	GET    /v1/explain?name=&type=&client=&resolver=&draw=
//	GET    /v1/version
//	GET    /healthz                     200 while questions are answered; needs no token
//	GET    /readyz                      200 while the server should get queries, else 503; likewise
//
// Bodies are JSON, requests and answers alike; times are RFC 3339, durations in
// requests Go's (1h30m), in answers nanoseconds. What is wrong comes as a
// [Problem]: 400 for what cannot be, 401 without the token, 403 from a browser
// that was led here, 404 for what the configuration does not have, 405 with Allow, 409 for what
// stands otherwise than thought.
//
// The package decides nothing: it reads requests and asks [server.Control].
package admin

import (
	"net/http"
	"time"

	"meridian/server"
)

// Options are what the API takes from outside.
type Options struct {
	Token   string // what each request must carry; empty: nothing
	Version string // of this binary
}

// api is the handlers' common ground. Its methods are safe for concurrent use.
type api struct {
	control *server.Control
	Options
	statusSlots chan struct{} // holds one for each status that is being told
}

// maxStatusReaders is how many are told the status at once: of ten thousand endpoints it
// takes some tens of megabytes.
const maxStatusReaders = 2

// New makes the handler of the API over a running server.
func New(control *server.Control, o Options) http.Handler {
	a := &api{control, o, make(chan struct{}, maxStatusReaders)}
	guarded := http.NewServeMux()
	guarded.HandleFunc("GET /v1/status", a.status)
	guarded.HandleFunc("GET /v1/overrides", a.overrides)
	guarded.HandleFunc("POST /v1/overrides", a.override)
	guarded.HandleFunc("DELETE /v1/overrides", a.deleteOverride)
	guarded.HandleFunc("POST /v1/reload", a.reload)
	guarded.HandleFunc("POST /v1/clear", a.clear)
	guarded.HandleFunc("POST /v1/checks/{check}/reports", a.report)
	guarded.HandleFunc("GET /v1/explain", a.explain)
	guarded.HandleFunc("GET /v1/version", a.version)
	guarded.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(w, r, guarded) })

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", a.healthz)
	all.HandleFunc("GET /readyz", a.readyz)
	all.Handle("/", a.auth(guarded))
	return all
}

// Health is the answer to GET /healthz.
type Health struct {
	Serving bool `json:"serving"` // questions are answered: the API opens with them
	Probing bool `json:"probing"` // verdicts turn: the prober does not hang
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Health{Serving: true, Probing: !a.control.Prober().Stalled})
}

// ready is the answer to GET /readyz, which needs no token: it says that the
// configuration is invalid, and not what is wrong in it.
type ready struct {
	server.Readiness
	Warning  string    `json:"warning,omitempty"`
	LastGood *lastGood `json:"last_good,omitempty"` // nil: the present configuration serves
}

type lastGood struct {
	Kept time.Time `json:"kept"`
}

// readyz answers 200 while the server should get queries, else 503 with why not.
func (a *api) readyz(w http.ResponseWriter, _ *http.Request) {
	r := ready{Readiness: a.control.Readiness()}
	if serving := a.control.LastGood(); serving != nil {
		r.Warning = "the present configuration is invalid: the last good configuration serves; see meridian status"
		r.LastGood = &lastGood{serving.Kept}
	}
	code := http.StatusOK
	if !r.Ready {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, r)
}

func (a *api) version(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"version": a.Version})
}
