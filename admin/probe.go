package admin

import (
	"net/http"
	"net/netip"
	"time"
)

// ProbeRequest is the body of POST /v1/probe.
type ProbeRequest struct {
	Check   string     `json:"check"`
	Address netip.Addr `json:"address"`
}

const (
	maxProbes    = 4 // at once
	probeTimeout = 2 * time.Minute
)

// probe runs a check once against an address and answers with its steps. Requests above maxProbes wait.
func (a *api) probe(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked ProbeRequest
	if !read(w, r, &asked) {
		return "", ""
	}
	subject = "check:" + asked.Check
	if asked.Check == "" || !asked.Address.IsValid() {
		problem(w, http.StatusBadRequest, "check or address is missing", `{"check": "web", "address": "192.0.2.10"}`)
		return subject, ""
	}
	subject += "/" + asked.Address.String()
	// A probe may take longer than answers usually may.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(probeTimeout))
	select {
	case a.probeSlots <- struct{}{}:
		defer func() { <-a.probeSlots }()
	case <-r.Context().Done():
		return subject, ""
	}
	report, err := a.control.Probe(r.Context(), asked.Check, asked.Address.Unmap())
	if err != nil {
		writeError(w, err)
		return subject, ""
	}
	answer(w, http.StatusOK, report)
	return subject, ""
}
