package admin

import (
	"fmt"
	"net/http"
	"sync"

	"meridian/control"
)

// audited records the outcome of a request that changes something.
func (a *api) audited(what string, next func(w http.ResponseWriter, r *http.Request) (subject, reason string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		subject, reason := next(seen, r)
		a.control.RecordAudit(seen.audit(r, what, subject, reason))
	}
}

// auditedReport records a report to a check of type push if it differs from the last one of its user for its address:
// a program that reports every few seconds must not displace all other events.
func (a *api) auditedReport(w http.ResponseWriter, r *http.Request) {
	seen := &statusWriter{ResponseWriter: w, code: http.StatusOK}
	reported, reason := a.report(seen, r)
	u := userOf(r)
	what := "report " + map[bool]string{true: "up", false: "down"}[reported.Up]
	subject := "check:" + reported.Check
	if reported.Address.IsValid() {
		subject += "/" + reported.Address.String()
	} else {
		what = "report"
	}
	if a.reports.changed(reportOf{u.Name, subject}, what+seen.result()) {
		a.control.RecordAudit(seen.audit(r, what, subject, reason))
	}
}

// reportOf is the subject of an audited report.
type reportOf struct{ user, subject string }

// maxReports is the number of reports that lastReports remembers.
const maxReports = 20_000

// lastReports holds the last audited report of each user for each address. It is safe for concurrent use.
type lastReports struct {
	mu   sync.Mutex
	said map[reportOf]string
}

// changed reports whether a report differs from the last one, which it replaces.
func (l *lastReports) changed(of reportOf, said string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said[of] == said {
		return false
	}
	if l.said == nil || len(l.said) >= maxReports {
		l.said = make(map[reportOf]string)
	}
	l.said[of] = said
	return true
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	code      int
	guardrail string // see auditGuardrail
}

// auditGuardrail puts the reason to override the guardrails into the audit record of a request.
func auditGuardrail(w http.ResponseWriter, reason string) {
	if seen, ok := w.(*statusWriter); ok {
		seen.guardrail = reason
	}
}

// audit returns the audit record of a request that has been answered.
func (w *statusWriter) audit(r *http.Request, what, subject, reason string) control.Audit {
	u := userOf(r)
	return control.Audit{
		Who: u.Name, From: u.From.Addr(), What: what, Subject: subject, Reason: reason, Result: w.result(),
		Request: w.Header().Get(requestIDHeader), Guardrail: w.guardrail,
	}
}

// WriteHeader writes and remembers the status.
func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// result describes the answer for an audit record.
func (w *statusWriter) result() string {
	if w.code == http.StatusOK {
		return "done"
	}
	return fmt.Sprintf("refused with %d", w.code)
}

// Unwrap returns the writer below, for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
