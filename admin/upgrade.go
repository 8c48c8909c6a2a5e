package admin

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/control"
)

// UpgradeRequest is the body of POST /v1/upgrade.
type UpgradeRequest struct {
	// Timeout is the time in which the new process must answer queries; 0: control.DefaultUpgradeTimeout.
	Timeout Duration `json:"timeout,omitzero"`
	// OverrideGuardrail is the reason to upgrade against the guardrails; empty: they bind.
	OverrideGuardrail string `json:"override_guardrail,omitempty"`
}

// keepsServing begins the reason of an upgrade that failed.
const keepsServing = "the old process keeps serving: "

// upgrade starts the program again and answers when the new process serves. That process has the state of this one, so
// it records the change; a failed one is recorded here, or by control if the client has stopped waiting.
func (a *api) upgrade(w http.ResponseWriter, r *http.Request) {
	var asked UpgradeRequest
	if r.ContentLength != 0 && !read(w, r, &asked) {
		return
	}
	timeout := time.Duration(asked.Timeout)
	if timeout != 0 && (timeout < time.Second || timeout > control.MaxUpgradeTimeout) {
		problem(w, http.StatusBadRequest, fmt.Sprintf("timeout: %v is out of range", timeout), fmt.Sprintf("1s to %v", control.MaxUpgradeTimeout))
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(control.MaxUpgradeTimeout + time.Minute))
	seen := &statusWriter{ResponseWriter: w, code: http.StatusOK}
	auditGuardrail(seen, asked.OverrideGuardrail)
	audit := seen.audit(r, "upgrade", "", "")
	done, err := a.control.Upgrade(r.Context(), control.UpgradeRequest{Timeout: timeout, OverrideGuardrail: asked.OverrideGuardrail, Audit: &audit})
	var refused *control.RequestError
	switch {
	case err == nil:
		answer(w, http.StatusOK, done)
		return
	case errors.Is(err, control.ErrNotAwaited): // the upgrade goes on
		return
	case errors.As(err, &refused) && !refused.Unavailable:
		kept := *refused
		kept.What = keepsServing + err.Error()
		writeError(seen, &kept)
	case refused != nil:
		writeError(seen, refused)
	default:
		problem(seen, http.StatusConflict, keepsServing+err.Error(), "correct the cause, then try again")
	}
	a.control.RecordAudit(seen.audit(r, "upgrade", "", ""))
}
