package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"meridian/pools"
	"meridian/server"
)

// Duration is a duration as Go writes it, more than 0; a field that is left out is none.
type Duration time.Duration

// MarshalText is the duration as Go writes it.
func (s Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText reads a duration; who leaves the field out means none.
func (s *Duration) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration; e.g. 30s, 1h30m", text)
	}
	if d <= 0 {
		return fmt.Errorf("a duration of %v; more than 0, e.g. 30s, 1h30m", d)
	}
	*s = Duration(d)
	return nil
}

// OverrideRequest is the body of POST /v1/overrides.
type OverrideRequest struct {
	Target server.Selector `json:"target"`
	Kind   string          `json:"kind"` // drained, forced up, forced down
	Reason string          `json:"reason,omitempty"`
	For    Duration        `json:"for,omitzero"` // how long it holds; none: until it is undone
	// Force drains also what would leave a name without an answer; force=true in the
	// query says the same.
	Force bool `json:"force,omitempty"`
}

// ClearRequest is the body of POST /v1/clear.
type ClearRequest struct {
	Target server.Selector `json:"target"`
}

// Cleared is the answer to it.
type Cleared struct {
	Target server.Selector `json:"target"`
	Held   int             `json:"held"` // how many of its addresses were held down
}

// ReportRequest is the body of POST /v1/checks/NAME/reports.
type ReportRequest struct {
	Address netip.Addr `json:"address"`
	Up      *bool      `json:"up"` // required
	Reason  string     `json:"reason,omitempty"`
	Lease   Duration   `json:"lease,omitzero"` // how long it holds; none: the check's own
}

// Reported is the answer to it.
type Reported struct {
	Check   string     `json:"check"`
	Address netip.Addr `json:"address"`
	Up      bool       `json:"up"`
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "target")
	if !ok {
		return
	}
	target, ok := parseTarget(w, words, false)
	if !ok {
		return
	}
	select {
	case a.statusSlots <- struct{}{}:
		defer func() { <-a.statusSlots }()
	case <-r.Context().Done():
		return
	}
	status, err := a.control.Status(target)
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, status)
}

func (a *api) overrides(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, a.control.Overrides())
}

func (a *api) override(w http.ResponseWriter, r *http.Request) {
	var asked OverrideRequest
	if !read(w, r, &asked) {
		return
	}
	kind, err := server.ParseKind(asked.Kind)
	if err != nil {
		writeError(w, err)
		return
	}
	if force := asked.Force || r.URL.Query().Get("force") == "true"; kind == pools.Drained && !force {
		if err := a.control.CheckDrain(asked.Target); err != nil {
			writeError(w, err)
			return
		}
	}
	said, err := a.control.Override(asked.Target, kind, asked.Reason, time.Duration(asked.For))
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, said)
}

func (a *api) deleteOverride(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "target", "kind")
	if !ok {
		return
	}
	target, ok := parseTarget(w, words, true)
	if !ok {
		return
	}
	var kinds []pools.Kind
	for _, word := range words["kind"] {
		kind, err := server.ParseKind(word)
		if err != nil {
			writeError(w, err)
			return
		}
		kinds = append(kinds, kind)
	}
	undone, err := a.control.Undo(target, kinds...)
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, undone)
}

// query is the parameters of a request, of which there may be those that are
// known and no others; ok is false when it has answered that there is another.
func query(w http.ResponseWriter, r *http.Request, known ...string) (words url.Values, ok bool) {
	words = r.URL.Query()
	for word := range words {
		if !slices.Contains(known, word) {
			problem(w, http.StatusBadRequest, fmt.Sprintf("unknown parameter %q", word), "known: "+strings.Join(known, ", "))
			return words, false
		}
		if word != "kind" && len(words[word]) > 1 {
			problem(w, http.StatusBadRequest, fmt.Sprintf("parameter %q is there %d times", word, len(words[word])), "once, at most")
			return words, false
		}
	}
	return words, true
}

// parseTarget is the target among words; ok is false when it has answered that there is something wrong.
func parseTarget(w http.ResponseWriter, words url.Values, required bool) (t server.Selector, ok bool) {
	word := words.Get("target")
	if word == "" && !required {
		return t, true
	}
	t, err := server.ParseSelector(word)
	if err != nil {
		writeError(w, err)
	}
	return t, err == nil
}

func (a *api) clear(w http.ResponseWriter, r *http.Request) {
	var asked ClearRequest
	if !read(w, r, &asked) {
		return
	}
	held, err := a.control.Clear(asked.Target)
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, Cleared{asked.Target, held})
}

func (a *api) report(w http.ResponseWriter, r *http.Request) {
	var asked ReportRequest
	if !read(w, r, &asked) {
		return
	}
	if asked.Up == nil || !asked.Address.IsValid() {
		problem(w, http.StatusBadRequest, "no address, or no up", `{"address": "192.0.2.10", "up": true}`)
		return
	}
	check := r.PathValue("check")
	if err := a.control.Report(check, asked.Address, *asked.Up, asked.Reason, time.Duration(asked.Lease)); err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, Reported{check, asked.Address, *asked.Up})
}

func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "name", "type", "client", "resolver", "draw", "time")
	if !ok {
		return
	}
	asked, err := server.ExplainParams{
		Name: words.Get("name"), Type: words.Get("type"),
		Client: words.Get("client"), Resolver: words.Get("resolver"), Draw: words.Get("draw"), Time: words.Get("time"),
	}.Parse()
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, a.control.Explain(asked))
}
