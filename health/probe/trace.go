package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Report is the result of a traced probe.
type Report struct {
	Check   string     `json:"check"`
	Type    string     `json:"type"`
	Address netip.Addr `json:"address"`
	Result  string     `json:"result"` // passed, failed or inconclusive
	Reason  string     `json:"reason"`
	Seconds float64    `json:"seconds"`           // from the start of the probe to its end
	Expires *time.Time `json:"expires,omitempty"` // when the first of the peer's certificates expires
	Steps   []Step     `json:"steps"`
}

// Step is one step of a traced probe.
type Step struct {
	Name    string  `json:"step"`            // connect, tls, request, response, ...
	Found   string  `json:"found,omitempty"` // what it did, or what the peer sent
	Seconds float64 `json:"seconds"`         // until the next step, or the end of the probe
}

// Trace runs the check against addr once, as Probe does, and records its steps.
func (c *Check) Trace(ctx context.Context, addr netip.Addr, dial Dial, log *slog.Logger) Report {
	recorded := new(trace)
	result, _ := c.probe(ctx, addr, dial, log, recorded)
	report := Report{
		Check: c.check.Name, Type: string(c.check.Type), Address: addr,
		Result: result.Outcome.String(), Reason: result.Reason, Seconds: result.Latency.Seconds(),
		Steps: recorded.finish(result.At.Add(result.Latency)),
	}
	if !result.Expires.IsZero() {
		report.Expires = &result.Expires
	}
	return report
}

// trace records the steps of a probe. A nil trace records nothing.
type trace struct {
	steps  []Step
	starts []time.Time // of each step
}

func (r *trace) begin(name string) {
	if r != nil {
		r.steps = append(r.steps, Step{Name: name})
		r.starts = append(r.starts, time.Now())
	}
}

// found describes the current step; callers test for a nil trace before they make the text.
func (r *trace) found(text string) {
	if r != nil && len(r.steps) > 0 {
		r.steps[len(r.steps)-1].Found = Printable(text)
	}
}

// finish sets the duration of each step and returns the steps; the last one ends at end.
func (r *trace) finish(end time.Time) []Step {
	for i := range r.steps {
		until := end
		if i+1 < len(r.starts) {
			until = r.starts[i+1]
		}
		r.steps[i].Seconds = max(until.Sub(r.starts[i]), 0).Seconds()
	}
	return append([]Step{}, r.steps...)
}

// begin enters the next step of the probe: name is for a trace, doing for the reason of a failure.
func (t *attempt) begin(name, doing string) {
	t.doing = doing
	t.trace.begin(name)
}

// traceTLS records the parameters of a handshake.
func (t *attempt) traceTLS(s tls.ConnectionState) {
	if t.trace == nil {
		return
	}
	text := tls.VersionName(s.Version) + ", " + tls.CipherSuiteName(s.CipherSuite)
	if s.NegotiatedProtocol != "" {
		text += ", " + s.NegotiatedProtocol
	}
	t.trace.found(text + ", " + describeCertificate(s.PeerCertificates[0]))
}

func describeCertificate(c *x509.Certificate) string {
	return fmt.Sprintf("certificate for %s, expires %s", certificateNames(c), formatExpiry(c.NotAfter, time.Now()))
}

// traceRequest records an HTTP request.
func (t *attempt) traceRequest(req *http.Request) {
	if t.trace != nil {
		t.trace.found(req.Method + " " + req.URL.String())
	}
}

// traceResponse records the head of an HTTP response.
func (t *attempt) traceResponse(resp *http.Response) {
	if t.trace == nil {
		return
	}
	text := []string{resp.Proto, resp.Status}
	if to := resp.Header.Get("Location"); to != "" {
		text = append(text, "to", to)
	}
	t.trace.found(strings.Join(text, " "))
}

// traceData records data that was sent or received.
func traceData[T string | []byte](t *attempt, data T) {
	if t.trace != nil {
		t.trace.found(excerpt(string(data)))
	}
}
