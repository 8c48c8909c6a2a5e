package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"meridian/control"
	"meridian/pools"
)

// Duration is a duration in Go syntax, greater than 0; an omitted field is 0.
type Duration time.Duration

// MarshalText writes the duration in Go syntax.
func (s Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText parses a duration.
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

// OverrideRequest is the body of PUT and POST /v1/overrides.
type OverrideRequest struct {
	Target control.Selector `json:"target"`
	Kind   string           `json:"kind"`            // drained, up or forced up, down or forced down, weight
	Value  string           `json:"value,omitempty"` // of weight: a percentage
	Reason string           `json:"reason,omitempty"`
	At     time.Time        `json:"at,omitzero"`  // when it begins; omitted: now
	For    Duration         `json:"for,omitzero"` // how long it applies; omitted: until it is removed
	// Force also drains a target or forces it down if that leaves a name without an answer;
	// force=true in the query does the same.
	Force bool `json:"force,omitempty"`
	// OverrideGuardrail is the reason to change against a guardrail.
	OverrideGuardrail string `json:"override_guardrail,omitempty"`
	// Local makes an override of this node only, of a cluster.
	Local bool `json:"local,omitempty"`
}

// ClearRequest is the body of POST /v1/clear.
type ClearRequest struct {
	Target control.Selector `json:"target"`
}

// Cleared is the response to ClearRequest.
type Cleared struct {
	Target control.Selector `json:"target"`
	Held   int              `json:"held"` // the number of its held addresses
}

// ReportRequest is the body of POST /v1/checks/NAME/reports.
type ReportRequest struct {
	Address netip.Addr `json:"address"`
	Up      *bool      `json:"up"` // required
	Reason  string     `json:"reason,omitempty"`
	Lease   Duration   `json:"lease,omitzero"` // how long it is valid; omitted: the check's own lease
}

// Reported is the response to ReportRequest.
type Reported struct {
	Check   string     `json:"check"`
	Address netip.Addr `json:"address"`
	Up      bool       `json:"up"`
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "target", "detail")
	if !ok {
		return
	}
	brief, ok := parseDetail(w, words.Get("detail"))
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
	if brief {
		for i := range status.Pools {
			for m := range status.Pools[i].Members {
				status.Pools[i].Members[m].Addresses = nil
			}
		}
	}
	answer(w, http.StatusOK, status)
}

// parseDetail parses the detail parameter: member is a status without addresses.
func parseDetail(w http.ResponseWriter, word string) (brief, ok bool) {
	switch word {
	case "", "address":
		return false, true
	case "member":
		return true, true
	}
	problem(w, http.StatusBadRequest, fmt.Sprintf("unknown detail %q", word), "known: member, address")
	return false, false
}

func (a *api) overrides(w http.ResponseWriter, _ *http.Request) {
	a.tagOverrides(w)
	answer(w, http.StatusOK, map[string]any{"overrides": a.control.MeasuredOverrides()})
}

// tagOverrides sets the ETag of the overrides, for a later If-Match.
func (a *api) tagOverrides(w http.ResponseWriter) {
	w.Header().Set("ETag", `"`+a.control.OverridesTag()+`"`)
}

func (a *api) override(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked OverrideRequest
	if !read(w, r, &asked) {
		return "", ""
	}
	auditGuardrail(w, asked.OverrideGuardrail)
	kind, err := control.ParseKind(asked.Kind)
	if err != nil {
		writeError(w, err)
		return asked.Target.String(), asked.Reason
	}
	said, err := a.control.Override(asked.Target, kind, control.OverrideOptions{
		Value: asked.Value, Reason: asked.Reason, At: asked.At, For: time.Duration(asked.For),
		ChangeOptions: control.ChangeOptions{
			Force: asked.Force || r.URL.Query().Get("force") == "true", OverrideGuardrail: asked.OverrideGuardrail, IfMatch: ifMatch(r),
			Local: asked.Local, By: userOf(r).Name,
		},
	})
	if err != nil {
		writeError(w, err)
		return asked.Target.String(), asked.Reason
	}
	a.tagOverrides(w)
	answer(w, http.StatusOK, said)
	return asked.Target.String(), asked.Reason
}

func (a *api) deleteOverride(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	words, ok := query(w, r, "target", "kind"+repeated, "force", "override_guardrail", "local")
	if !ok {
		return "", ""
	}
	auditGuardrail(w, words.Get("override_guardrail"))
	target, ok := parseTarget(w, words, true)
	if !ok {
		return "", ""
	}
	var kinds []pools.Kind
	for _, word := range words["kind"] {
		kind, err := control.ParseKind(word)
		if err != nil {
			writeError(w, err)
			return target.String(), ""
		}
		kinds = append(kinds, kind)
	}
	undone, err := a.control.Undo(target, control.ChangeOptions{
		Force: words.Get("force") == "true", OverrideGuardrail: words.Get("override_guardrail"), IfMatch: ifMatch(r),
		Local: words.Get("local") == "true", By: userOf(r).Name,
	}, kinds...)
	if err != nil {
		writeError(w, err)
		return target.String(), ""
	}
	a.tagOverrides(w)
	answer(w, http.StatusOK, undone)
	return target.String(), ""
}

// repeated ends the name of a parameter that may be given several times.
const repeated = "..."

// query returns the parameters of a request. If one is not in known, it answers with an error and
// ok is false.
func query(w http.ResponseWriter, r *http.Request, known ...string) (words url.Values, ok bool) {
	words, err := url.ParseQuery(escapePercent(r.URL.RawQuery))
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "percent-encode the values of parameters")
		return words, false
	}
	for word := range words {
		many := slices.Contains(known, word+repeated)
		if !many && !slices.Contains(known, word) {
			problem(w, http.StatusBadRequest, fmt.Sprintf("unknown parameter %q", word), "known: "+strings.ReplaceAll(strings.Join(known, ", "), repeated, ""))
			return words, false
		}
		if !many && len(words[word]) > 1 {
			problem(w, http.StatusBadRequest, fmt.Sprintf("parameter %q is given %d times", word, len(words[word])), "give it once at most")
			return words, false
		}
	}
	return words, true
}

// escapePercent escapes each percent sign that begins no escape, so that max_moved=10% may be written as it is read:
// url.ParseQuery rejects it, and URL.Query leaves the parameter out.
func escapePercent(raw string) string {
	hex := func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
	var b strings.Builder
	for i := range len(raw) {
		b.WriteByte(raw[i])
		if raw[i] == '%' && (i+2 >= len(raw) || !hex(raw[i+1]) || !hex(raw[i+2])) {
			b.WriteString("25")
		}
	}
	return b.String()
}

// parseTarget parses the target parameter. If it is invalid, it answers with an error and ok is
// false.
func parseTarget(w http.ResponseWriter, words url.Values, required bool) (t control.Selector, ok bool) {
	word := words.Get("target")
	if word == "" && !required {
		return t, true
	}
	t, err := control.ParseSelector(word)
	if err != nil {
		writeError(w, err)
	}
	return t, err == nil
}

func (a *api) clear(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked ClearRequest
	if !read(w, r, &asked) {
		return "", ""
	}
	held, err := a.control.Clear(asked.Target)
	if err != nil {
		writeError(w, err)
		return asked.Target.String(), ""
	}
	answer(w, http.StatusOK, Cleared{asked.Target, held})
	return asked.Target.String(), ""
}

// report passes a result to a check of type push. reported is what the request says; its address is invalid if that is
// unknown.
func (a *api) report(w http.ResponseWriter, r *http.Request) (reported Reported, reason string) {
	var asked ReportRequest
	reported.Check = r.PathValue("check")
	if !read(w, r, &asked) {
		return reported, ""
	}
	if asked.Up == nil || !asked.Address.IsValid() {
		problem(w, http.StatusBadRequest, "address or up is missing", `{"address": "192.0.2.10", "up": true}`)
		return reported, asked.Reason
	}
	reported.Address, reported.Up = asked.Address, *asked.Up
	if err := a.control.Report(reported.Check, reported.Address, reported.Up, asked.Reason, time.Duration(asked.Lease)); err != nil {
		writeError(w, err)
	} else {
		answer(w, http.StatusOK, reported)
	}
	return reported, asked.Reason
}

func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "name", "type", "client", "resolver", "draw", "time", "down"+repeated)
	if !ok {
		return
	}
	client, err := a.clientOf(r, words.Get("client"))
	if err != nil {
		writeError(w, err)
		return
	}
	asked, err := control.ExplainParams{
		Name: words.Get("name"), Type: words.Get("type"),
		Client: client, Resolver: words.Get("resolver"), Draw: words.Get("draw"), Time: words.Get("time"),
	}.Parse()
	if err != nil {
		writeError(w, err)
		return
	}
	if len(words["down"]) == 0 {
		answer(w, http.StatusOK, a.control.Explain(asked))
		return
	}
	down, ok := parseTargets(w, words["down"])
	if !ok {
		return
	}
	e, err := a.control.ExplainIfDown(asked, down)
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, e)
}

// clientOf returns the address or network that a client parameter is about:
//
//	client           network
//	me               the address of the request
//	FR, AS64500      the largest IPv4 network of the country or autonomous system
//	any other        the parameter itself
//
// One search for a network runs at a time, and no forecast: it visits the networks of all countries.
func (a *api) clientOf(r *http.Request, client string) (string, error) {
	switch {
	case client == "me":
		return userOf(r).From.Addr().Unmap().String(), nil
	case !control.NamesClients(client):
		return client, nil
	}
	select {
	case a.forecastSlot <- struct{}{}:
		defer func() { <-a.forecastSlot }()
	case <-r.Context().Done():
		return "", r.Context().Err()
	}
	network, err := a.control.LargestNetwork(client)
	return network.String(), err
}
