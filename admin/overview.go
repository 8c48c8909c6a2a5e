package admin

import (
	"net/http"
	"net/url"

	"meridian/control"
	"meridian/plan"
	"meridian/pools"
)

// Session is the response to GET /v1/session: the user of a request.
type Session struct {
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Token   bool   `json:"token"` // requests need a token
	Version string `json:"version"`
}

func (a *api) session(w http.ResponseWriter, r *http.Request) {
	u := userOf(r)
	answer(w, http.StatusOK, Session{u.Name, u.Role, len(a.Tokens) > 0, a.Version})
}

func (a *api) stats(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, a.control.Stats())
}

func (a *api) answers(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, a.control.Answers())
}

func (a *api) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"zones": a.control.Keys()})
}

func (a *api) regions(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"regions": a.control.Regions()})
}

func (a *api) cluster(w http.ResponseWriter, _ *http.Request) {
	status, err := a.control.ClusterStatus()
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, status)
}

// maxServed is the number of endpoints up to which a forecast lists all, changed or not.
const maxServed = 2000

// ForecastAnswer is the response to GET /v1/forecast.
type ForecastAnswer struct {
	*plan.Forecast
	Served []plan.Target `json:"served,omitempty"` // every endpoint; none if there are over maxServed
}

// forecast answers with the effect of a change on the traffic of all IPv4 clients. One forecast is
// computed at a time: it takes the time of a processor.
func (a *api) forecast(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "target"+repeated, "kind", "value", "from")
	if !ok {
		return
	}
	assumed, ok := parseAssumption(w, words)
	if !ok {
		return
	}
	select {
	case a.forecastSlot <- struct{}{}:
		defer func() { <-a.forecastSlot }()
	case <-r.Context().Done():
		return
	}
	sides, err := a.sides(assumed)
	if err != nil {
		writeError(w, err)
		return
	}
	defer sides.Release()
	f, err := plan.Compare(sides.Before, sides.After, plan.AllIPv4(sides.After.Geo))
	if err != nil {
		problem(w, http.StatusConflict, err.Error(), "")
		return
	}
	found := ForecastAnswer{Forecast: f}
	if served := f.Served(); len(served) <= maxServed {
		found.Served = served
	}
	answer(w, http.StatusOK, found)
}

// sides returns the states to compare; nil compares the present state with a healthy one.
func (a *api) sides(assumed *control.Assumption) (*control.Sides, error) {
	if assumed == nil {
		return a.control.Healthy()
	}
	return a.control.Assume(*assumed)
}

// parseAssumption parses the parameters of a forecast. If they are invalid, it answers with an
// error and ok is false.
//
//	from     targets and kind  forecast
//	healthy  none              from all healthy to the present state
//	none     both              from the present state to the change of all targets
func parseAssumption(w http.ResponseWriter, words url.Values) (assumed *control.Assumption, ok bool) {
	switch {
	case words.Get("from") == "healthy" && len(words["target"]) == 0 && words.Get("kind")+words.Get("value") == "":
		return nil, true
	case words.Get("from") != "":
		problem(w, http.StatusBadRequest, "from is healthy, without target and kind", "/v1/forecast?from=healthy")
		return nil, false
	}
	selectors, ok := parseTargets(w, words["target"])
	if !ok {
		return nil, false
	}
	kinds := map[string]pools.Kind{
		"down": pools.AssumedDown, "off": 0, "drained": pools.Drained, "forced up": pools.ForcedUp, "forced down": pools.ForcedDown,
		"weight": pools.ReducedWeight,
	}
	kind, known := kinds[words.Get("kind")]
	if !known {
		problem(w, http.StatusBadRequest, "unknown kind of change", "known: down, drained, forced up, forced down, weight, off")
		return nil, false
	}
	return &control.Assumption{Targets: selectors, Kind: kind, Value: words.Get("value")}, true
}

// parseTargets parses targets, one at least. If one is invalid, it answers with an error and ok is false.
func parseTargets(w http.ResponseWriter, targets []string) (all []control.Selector, ok bool) {
	if len(targets) == 0 {
		targets = []string{""} // gives the error of an empty one
	}
	for _, target := range targets {
		selector, err := control.ParseSelector(target)
		if err != nil {
			writeError(w, err)
			return nil, false
		}
		all = append(all, selector)
	}
	return all, true
}
