package admin

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/control/generations"
)

// maxConfig is the maximum size of a configuration in a request, in bytes.
const maxConfig = 16 << 20

// configTypes are the content types of a configuration.
var configTypes = []string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}

// configGet answers with the text of the served configuration, or of a stored generation; file selects one of several
// files.
func (a *api) configGet(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "file", "generation")
	if !ok {
		return
	}
	file := words.Get("file")
	if file == "" && a.control.SharedConfig() != nil {
		a.sharedGet(w, r, words.Get("generation"))
		return
	}
	files, err := a.filesOf(words.Get("generation"))
	if err != nil {
		writeError(w, err)
		return
	}
	if file == "" && len(files) > 1 {
		problem(w, http.StatusConflict, fmt.Sprintf("the configuration has %d files", len(files)), "name one by ?file=, such as "+files[0].Path)
		return
	}
	for _, f := range files {
		if file == "" || f.Path == file {
			if words.Get("generation") == "" {
				a.tagConfig(w)
			}
			w.Header().Set("Content-Type", "application/yaml")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = io.WriteString(w, f.Text) // fails if the client has gone
			return
		}
	}
	problem(w, http.StatusNotFound, fmt.Sprintf("no file %q in the configuration", file), "GET /v1/config/generations lists the files")
}

// filesOf returns the files of a generation, of the served one if number is empty.
func (a *api) filesOf(number string) ([]generations.File, error) {
	if number == "" {
		_, files, err := a.control.ServedFiles()
		return files, err
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("generation: %q is not a number; GET /v1/config/generations lists them", number)
	}
	_, files, err := a.control.StoredFiles(n)
	return files, err
}

// tagConfig sets the ETag of the served configuration, for a later If-Match.
func (a *api) tagConfig(w http.ResponseWriter) {
	w.Header().Set("ETag", `"`+a.control.ConfigTag()+`"`)
}

// configPut makes the configuration in the body serve, and replaces the file.
func (a *api) configPut(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	words, ok := query(w, r, "file", "max_moved", "allow_removal", "override_guardrail", "reason", "canary", "for")
	if !ok {
		return "", ""
	}
	most, err := parseMoved(words.Get("max_moved"))
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "such as max_moved=10%")
		return "", words.Get("reason")
	}
	text, ok := readConfigText(w, r)
	if !ok {
		return "", words.Get("reason")
	}
	auditGuardrail(w, words.Get("override_guardrail"))
	request := control.ReloadRequest{
		MaxMoved: most, AllowRemoval: words.Get("allow_removal") == "true", OverrideGuardrail: words.Get("override_guardrail"),
		Origin: generations.Generation{Source: "api", Reason: words.Get("reason")},
	}
	if a.isShared(words) {
		return a.sharedPut(w, r, words, control.SharedRequest{Text: string(text), ReloadRequest: request}), words.Get("reason")
	}
	if words.Has("canary") || words.Has("for") {
		problem(w, http.StatusBadRequest, "canary: this server alone would get the configuration, all of it at once", "a canary needs cluster.config: shared; leave canary and for out")
		return "", words.Get("reason")
	}
	if request.Documents, ok = a.candidate(w, words.Get("file"), text); !ok {
		return "", words.Get("reason")
	}
	a.push(w, r, request)
	return request.Documents[0].File, words.Get("reason")
}

// push asks for a reload with the documents of a request, and answers with its outcome.
func (a *api) push(w http.ResponseWriter, r *http.Request, request control.ReloadRequest) {
	request.IfMatch, request.Origin.Who = ifMatch(r), userOf(r).Name
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ReloadTimeout))
	loaded, err := a.control.Reload(r.Context(), request)
	if err != nil {
		writeConfigError(w, err)
		return
	}
	a.tagConfig(w)
	answer(w, http.StatusOK, loaded)
}

// writeConfigError answers with the error of a refused change, or with every error of a configuration.
func writeConfigError(w http.ResponseWriter, err error) {
	if refused := (*control.RequestError)(nil); errors.As(err, &refused) {
		writeError(w, refused)
		return
	}
	refuseConfig(w, err)
}

// parseMoved parses a part of the clients; 0: any.
func parseMoved(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if percent {
		n /= 100
	}
	if err != nil || !(n > 0 && n <= 1) {
		return 0, fmt.Errorf("%q is not a part of the clients", text)
	}
	return n, nil
}

// readConfigText reads the configuration in the body of a request. If it cannot be read, it answers with the error and
// ok is false.
func readConfigText(w http.ResponseWriter, r *http.Request) (text []byte, ok bool) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if !slices.Contains(configTypes, kind) {
		problem(w, http.StatusUnsupportedMediaType, "the content type of the body is not YAML", "send Content-Type: application/yaml")
		return nil, false
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxConfig))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes, or incomplete", maxConfig), "change the file, then reload")
		return nil, false
	}
	return text, true
}

// candidate returns the documents of a configuration with another text of a file. On an error it answers with it, and ok is
// false.
func (a *api) candidate(w http.ResponseWriter, file string, text []byte) (documents []config.Document, ok bool) {
	documents, err := a.control.Candidate(file, text)
	if err != nil {
		writeConfigError(w, err)
		return nil, false
	}
	return documents, true
}

// configCheck answers with what the configuration in the body has, or with all its errors.
func (a *api) configCheck(w http.ResponseWriter, r *http.Request) {
	a.withCandidate(w, r, func(documents []config.Document) (any, error) {
		cfg, err := a.control.CheckConfig(documents)
		if err != nil {
			return nil, err
		}
		return map[string]any{"valid": true, "zones": len(cfg.Zones), "pools": len(cfg.Pools), "regions": len(cfg.Regions)}, nil
	})
}

// configPlan answers with the forecast of the configuration in the body.
func (a *api) configPlan(w http.ResponseWriter, r *http.Request) {
	a.withCandidate(w, r, func(documents []config.Document) (any, error) { return a.control.PlanConfig(documents) })
}

// withCandidate answers with what f returns for the configuration in the body. One at a time is loaded.
func (a *api) withCandidate(w http.ResponseWriter, r *http.Request, f func([]config.Document) (any, error)) {
	words, ok := query(w, r, "file")
	if !ok {
		return
	}
	text, ok := readConfigText(w, r)
	if !ok {
		return
	}
	documents, ok := a.candidate(w, words.Get("file"), text)
	if !ok {
		return
	}
	select {
	case a.forecastSlot <- struct{}{}:
		defer func() { <-a.forecastSlot }()
	case <-r.Context().Done():
		return
	}
	found, err := f(documents)
	if err != nil {
		writeConfigError(w, err)
		return
	}
	answer(w, http.StatusOK, found)
}

// StoredGeneration is a generation in the response to GET /v1/config/generations.
type StoredGeneration = control.ClusterGeneration

// configGenerations answers with the configurations that have served, the latest first.
func (a *api) configGenerations(w http.ResponseWriter, r *http.Request) {
	if a.control.SharedConfig() != nil {
		a.sharedGenerations(w, r)
		return
	}
	list := []StoredGeneration{}
	for i, g := range a.control.Generations().List() {
		list = append(list, StoredGeneration{Generation: g, Serving: i == 0 && g.Hash == a.control.ConfigTag()})
	}
	answer(w, http.StatusOK, map[string]any{"generations": list})
}

// RollbackRequest is the body of POST /v1/config/rollback.
type RollbackRequest struct {
	Generation        uint64 `json:"generation"`
	Reason            string `json:"reason,omitempty"`
	AllowRemoval      bool   `json:"allow_removal,omitempty"`
	OverrideGuardrail string `json:"override_guardrail,omitempty"`
}

// configRollback makes a stored generation serve again, as a new generation.
func (a *api) configRollback(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked RollbackRequest
	if !read(w, r, &asked) {
		return "", ""
	}
	subject = fmt.Sprintf("generation %d", asked.Generation)
	auditGuardrail(w, asked.OverrideGuardrail)
	if a.control.SharedConfig() != nil {
		a.sharedRollback(w, r, &asked)
		return subject, asked.Reason
	}
	documents, err := a.control.RestoreCandidate(asked.Generation)
	if err != nil {
		writeConfigError(w, err)
		return subject, asked.Reason
	}
	a.push(w, r, control.ReloadRequest{
		Documents: documents, AllowRemoval: asked.AllowRemoval, OverrideGuardrail: asked.OverrideGuardrail,
		Origin: generations.Generation{Source: "rollback", Reason: asked.Reason},
	})
	return subject, asked.Reason
}

// adminOnly passes a request of the role admin to next. A configuration names files, and its errors quote them: to
// check one is to read any file of the server, the tokens of others too.
func adminOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if u := userOf(r); u.Role != Admin {
			problem(w, http.StatusForbidden, fmt.Sprintf("%s is of the role %s, and may not do this", u.Name, u.Role), "use a token of the role admin")
			return
		}
		next(w, r)
	}
}
