package admin

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/control"
	"meridian/control/generations"
	"meridian/pools"
)

// isShared reports whether a request is for the configuration that the nodes of a cluster share.
func (a *api) isShared(words url.Values) bool {
	return a.control.SharedConfig() != nil && words.Get("file") == ""
}

// sharedGet answers with the shared configuration, or with one of its generations.
func (a *api) sharedGet(w http.ResponseWriter, r *http.Request, generation string) {
	number := uint64(0)
	if generation != "" {
		n, err := strconv.ParseUint(generation, 10, 64)
		if err != nil {
			problem(w, http.StatusBadRequest, fmt.Sprintf("generation: %q is not a number", generation), "GET /v1/config/generations lists them")
			return
		}
		number = n
	}
	hash, text, err := a.control.SharedGeneration(r.Context(), number)
	if err != nil {
		writeError(w, err)
		return
	}
	if number == 0 {
		w.Header().Set("ETag", `"`+hash+`"`)
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, text) // fails if the client has gone
}

// sharedPut gives a configuration to the nodes of the cluster.
func (a *api) sharedPut(w http.ResponseWriter, r *http.Request, words url.Values, request control.SharedRequest) (subject string) {
	const shared = "the shared configuration"
	if request.Text == "" { // which would be the present one
		problem(w, http.StatusBadRequest, "the file is empty; a configuration has at least zones", "")
		return shared
	}
	if canary := words.Get("canary"); canary == "" && words.Has("canary") {
		problem(w, http.StatusBadRequest, "canary: it is empty, and all nodes would get the configuration at once", "write nodes, such as ams1,fra1, or a share of the clients, such as 5%; or leave canary out")
		return shared
	} else if strings.Contains(canary, "%") {
		if request.Parts = parseParts(canary); request.Parts == 0 {
			problem(w, http.StatusBadRequest, fmt.Sprintf("canary: %q is not a share of the clients", canary), "a share is from 0.01% to 99.99%, with two decimals at most, such as 5%, in a URL 5%25; or names of nodes, such as ams1,fra1")
			return shared
		}
	} else if canary != "" {
		request.Canary = strings.Split(canary, ",")
		slices.Sort(request.Canary)
		request.Canary = slices.Compact(request.Canary)
	}
	request.For = defaultCanary
	if text := words.Get("for"); text != "" {
		d, err := time.ParseDuration(text)
		if len(request.Canary) == 0 && request.Parts == 0 {
			problem(w, http.StatusBadRequest, "for needs a canary: it is how long that serves a configuration before the others", "such as canary=ams1&for=10m, --canary ams1 --for 10m; or leave for out")
			return shared
		}
		if err != nil || d <= 0 {
			problem(w, http.StatusBadRequest, fmt.Sprintf("for: %q is not how long a canary serves a configuration before the others", text), "such as canary=ams1&for=10m")
			return shared
		}
		request.For = d
	}
	a.answerShared(w, r, request, a.control.PushShared)
	return shared
}

// parseParts parses a share of the clients, such as 5% or 0.25%, into hundredths of a percent; 0: it is none.
func parseParts(text string) uint32 {
	digits, ok := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(digits, 64)
	parts := math.Round(percent * pools.WholeShare / 100)
	if !ok || err != nil || !(parts >= 1 && parts < pools.WholeShare) || math.Abs(parts-percent*pools.WholeShare/100) > 1e-6 {
		return 0
	}
	return uint32(parts)
}

// defaultCanary is how long a canary serves a configuration before the other nodes.
const defaultCanary = 10 * time.Minute

// answerShared makes a change of the shared configuration, and answers with its outcome.
func (a *api) answerShared(w http.ResponseWriter, r *http.Request, request control.SharedRequest, change sharedChange) {
	request.IfMatch, request.Origin.Who = ifMatch(r), userOf(r).Name
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ReloadTimeout))
	loaded, err := change(r.Context(), request)
	if err != nil {
		writeConfigError(w, err)
		return
	}
	answer(w, http.StatusOK, loaded)
}

// sharedGenerations answers with the generations of the cluster, the latest first.
func (a *api) sharedGenerations(w http.ResponseWriter, r *http.Request) {
	list, err := a.control.ClusterGenerations(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"generations": list})
}

// sharedRollback gives an earlier generation to the nodes of the cluster again.
func (a *api) sharedRollback(w http.ResponseWriter, r *http.Request, asked *RollbackRequest) {
	a.answerShared(w, r, control.SharedRequest{From: asked.Generation, ReloadRequest: control.ReloadRequest{
		AllowRemoval: asked.AllowRemoval, OverrideGuardrail: asked.OverrideGuardrail,
		Origin: generations.Generation{Source: "rollback", Reason: asked.Reason},
	}}, a.control.RollBackShared)
}

// sharedChange is a change of the shared configuration.
type sharedChange func(context.Context, control.SharedRequest) (*control.Loaded, error)
