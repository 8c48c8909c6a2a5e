package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
	"meridian/control"
)

// ReloadRequest is the body of POST /v1/reload.
type ReloadRequest struct {
	// AllowRemoval loads a configuration that has no zones, or fewer than half of the
	// names that are served.
	AllowRemoval bool `json:"allow_removal,omitempty"`
	// OverrideGuardrail is the reason to load against a guardrail.
	OverrideGuardrail string `json:"override_guardrail,omitempty"`
}

// ConfigError is one error of a configuration.
type ConfigError struct {
	File    string `json:"file"`
	Line    uint32 `json:"line,omitempty"`
	Column  uint32 `json:"column,omitempty"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// ReloadTimeout is the maximum time that the API waits for a reload.
const ReloadTimeout = 10 * time.Minute

// reload loads the configuration again and answers with the counts of the loaded content, or with
// all errors of the configuration.
func (a *api) reload(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked ReloadRequest
	if r.ContentLength != 0 && !read(w, r, &asked) {
		return "", ""
	}
	auditGuardrail(w, asked.OverrideGuardrail)
	// A reload may take longer than answers usually may.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ReloadTimeout))
	loaded, err := a.control.Reload(r.Context(), control.ReloadRequest{AllowRemoval: asked.AllowRemoval, OverrideGuardrail: asked.OverrideGuardrail})
	var refused *control.RequestError
	switch {
	case err == nil:
		answer(w, http.StatusOK, loaded)
	case errors.As(err, &refused):
		writeError(w, refused)
	default:
		refuseConfig(w, err)
	}
	return "", ""
}

// maxConfigErrors is the maximum number of errors in a response.
const maxConfigErrors = 100

// refuseConfig answers with the errors of a configuration (RFC 9457).
func refuseConfig(w http.ResponseWriter, err error) {
	p := Problem{Status: http.StatusUnprocessableEntity, Title: "configuration refused", Detail: err.Error()}
	all := flatten(err)
	p.Omitted = max(0, len(all)-maxConfigErrors)
	for _, e := range all[:len(all)-p.Omitted] {
		f := config.Error{What: e.Error()}
		errors.As(e, &f)
		p.Errors = append(p.Errors, ConfigError{f.File, f.Pos.Line, f.Pos.Column, f.Path, f.What, f.Hint})
	}
	writeProblem(w, p)
}

// flatten takes an error that wraps several apart.
func flatten(err error) []error {
	var joined *multierror.Error
	if errors.As(err, &joined) {
		return joined.Errors
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if several, ok := e.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, one := range several.Unwrap() {
				all = append(all, flatten(one)...)
			}
			return all
		}
	}
	return []error{err}
}
