// Package admin is the HTTP API of a running server: status, overrides and external reports.
//
//	GET    /v1/status?target=T          status of the members of T; all without T
//	GET    /v1/overrides                active overrides
//	PUT    /v1/overrides                {target, kind, value, reason, for}: drain, force or reduce the weight; POST does the same
//	DELETE /v1/overrides?target=T&kind=K   remove an override; any kind without K
//	GET    /v1/filters                  rules of the filter; PUT adds one, DELETE /v1/filters?name=N removes it
//	POST   /v1/reload                   {allow_removal}: load the configuration again
//	POST   /v1/upgrade                  {timeout}: replace the process by its new program
//	GET    /v1/config                   the served configuration; PUT replaces it
//	POST   /v1/config/check             what a configuration has, or its errors; /v1/config/plan: its effect on traffic
//	GET    /v1/config/generations       configurations that have served; POST /v1/config/rollback {generation}
//	POST   /v1/clear                    {target}: release its holds
//	POST   /v1/checks/NAME/reports      {address, up, reason, lease}: the result of a check of type push
//	POST   /v1/probe                    {check, address}: run a check once, now, and show its steps
//	GET    /v1/explain?name=&type=&client=&resolver=&draw=&down=
//	GET    /v1/events?since=&kind=&subject=&limit=   events; /v1/events/stream sends them as they happen
//	GET    /v1/audit?since=&subject=&limit=   the changes made through the API
//	GET    /v1/forecast?target=T&kind=K&value=V   effect of a change on traffic; from=healthy: of the present problems
//	GET    /v1/zones                    served zones and bound names
//	POST   /v1/zones/refresh            asks the primaries of a zone now
//	POST   /v1/zones/notify             notifies the secondaries of a zone; also /freeze and /thaw, for its dynamic updates
//	GET    /v1/keys                     DNSSEC keys of the signed zones
//	GET    /v1/regions                  regions and their locations
//	GET    /v1/cluster                  nodes of the cluster, and the votes of its regions
//	GET    /v1/stats                    counters, and samples of the last hour
//	GET    /v1/answers                  answers of each member in the last minutes
//	GET    /v1/session                  the user of the token
//	GET    /v1/version
//	GET    /metrics                     for Prometheus
//	GET    /debug/pprof/                profiles, with admin.debug
//	GET    /                            the dashboard
//	GET    /healthz                     200 while the server answers queries; needs no token
//	GET    /readyz                      200 while the server should get queries, otherwise 503; needs no token
//
// Bodies of requests and responses are JSON. Times are RFC 3339; durations are in Go syntax
// (1h30m) in requests and in nanoseconds in responses. An error is a [Problem], application/problem+json: 400 for an
// invalid request, 401 without the token, 403 for a request from a web page, 404 for a target
// that is not in the configuration, 405 with Allow, 409 for a conflict with the current state.
//
// The package decides nothing: it parses requests and calls [control.Control].
package admin

import (
	"net/http"
	"slices"
	"time"

	"meridian/admin/dashboard"
	"meridian/control"
)

// Options are the settings of the API.
type Options struct {
	Tokens  []Token // one is required in each request; none: anyone who can connect has full control
	Version string  // of this binary

	ClientCA bool // a client certificate identifies a user; without it or a token a request is refused

	Metrics http.Handler // serves /metrics; nil: there is none
	Debug   bool         // serves profiles below /debug/pprof/
}

// api holds the data of the handlers. Its methods are safe for concurrent use.
type api struct {
	control *control.Control
	Options
	statusSlots  chan struct{} // holds one element for each running status request
	forecastSlot chan struct{} // holds one element while a forecast is computed
	streamSlots  chan struct{} // holds one element for each open event stream
	probeSlots   chan struct{} // holds one element for each running probe of a request
	reports      lastReports
}

// maxStatusReaders is the number of concurrent status requests: with ten thousand endpoints each
// takes some tens of megabytes.
const maxStatusReaders = 2

// New returns the handler of the API of a running server.
func New(c *control.Control, o Options) http.Handler {
	a := &api{
		control: c, Options: o,
		statusSlots: make(chan struct{}, maxStatusReaders), forecastSlot: make(chan struct{}, 1), streamSlots: make(chan struct{}, maxStreams),
		probeSlots: make(chan struct{}, maxProbes),
	}
	guarded := http.NewServeMux()
	for _, route := range a.routes() {
		guarded.HandleFunc(route.pattern, a.unlessAgent(route))
	}
	guarded.HandleFunc("GET /v1/openapi.json", a.openAPI)
	guarded.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(w, r, guarded) })

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", a.healthz)
	all.HandleFunc("GET /readyz", a.readyz)
	if o.Metrics != nil {
		all.Handle("GET /metrics", a.auth(o.Metrics))
	}
	all.Handle("/debug/pprof/", a.auth(a.profiles()))
	all.Handle("/", a.withDashboard(a.auth(a.whenServing(guarded))))
	return withRequestID(all)
}

// withDashboard answers requests for the files of the dashboard, which need no token, and passes
// others to next. An agent has no dashboard: most of it is about answers.
func (a *api) withDashboard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (r.Method == http.MethodGet || r.Method == http.MethodHead) && dashboard.Has(r.URL.Path) {
			if a.control.Agent() {
				problem(w, http.StatusConflict, agentTitle, "open the dashboard of a node; meridian status and meridian cluster status show this agent")
				return
			}
			dashboard.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Health is the response to GET /healthz.
type Health struct {
	Serving bool `json:"serving"` // the server answers queries, or stops; false: it starts
	Probing bool `json:"probing"` // the prober is not stalled
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Health{Serving: a.control.Started(), Probing: !a.control.Prober().Stalled})
}

// whenServing passes requests to next when a configuration serves. Until then it answers with the
// progress of the start.
func (a *api) whenServing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.control.Started() {
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, "the server is "+a.control.Readiness().Why, "try again in a second")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// agentRoutes are the requests that an agent answers. All others are about answers to queries, which it does not give.
var agentRoutes = []string{
	"GET /v1/status", "POST /v1/reload", "POST /v1/probe", "GET /v1/version", "GET /v1/session",
	"GET /v1/events", "GET /v1/events/stream", "GET /v1/audit", "GET /v1/cluster", "GET /v1/stats", "GET /v1/regions",
}

// agentTitle is the title of the problem that a request is for nodes.
const agentTitle = "this is an agent: it probes for the nodes of a cluster, and answers no queries"

// hintOfAgent returns what to do in place of a request that an agent refuses.
func hintOfAgent(pattern string) string {
	if pattern == "POST /v1/upgrade" {
		return "restart it, such as with systemctl restart meridian-agent: nothing is lost while it starts"
	}
	return "ask a node"
}

// unlessAgent refuses a request that an agent cannot answer.
func (a *api) unlessAgent(r route) http.HandlerFunc {
	if slices.Contains(agentRoutes, r.pattern) {
		return r.handle
	}
	return func(w http.ResponseWriter, request *http.Request) {
		if a.control.Agent() {
			problem(w, http.StatusConflict, agentTitle, hintOfAgent(r.pattern))
			return
		}
		r.handle(w, request)
	}
}

// ready is the response to GET /readyz. The request needs no token, so the response says that the
// configuration is invalid but does not list its errors.
type ready struct {
	control.Readiness
	Warning  string    `json:"warning,omitempty"`
	LastGood *lastGood `json:"last_good,omitempty"` // nil: the current configuration is served
}

type lastGood struct {
	Kept time.Time `json:"kept"`
}

// readyz answers 200 while the server should get queries, otherwise 503 with the reason.
func (a *api) readyz(w http.ResponseWriter, _ *http.Request) {
	r := ready{Readiness: a.control.Readiness()}
	if serving := a.control.LastGood(); serving != nil {
		r.Warning = "the present configuration is invalid: the last good configuration serves; see meridian status"
		if serving.Hint != "" {
			r.Warning = "the present configuration removes most of what was served: the last good configuration serves; see meridian status"
		}
		r.LastGood = &lastGood{serving.Kept}
	}
	if r.Warning == "" && a.control.NameTaken() {
		r.Warning = "another process publishes under the name of this node in its cluster: the opinions of this one do not count; see meridian status"
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
