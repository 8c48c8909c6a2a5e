package admin

import (
	"context"
	"net/http"
	"time"

	"meridian/control"
	"meridian/dnsname"
	"meridian/transfer/secondary"
)

// ZoneRefreshRequest is the body of POST /v1/zones/refresh.
type ZoneRefreshRequest struct {
	Zone       string `json:"zone"`
	Retransfer bool   `json:"retransfer,omitempty"` // take the whole zone, whatever its serial is
	// AllowRemoval takes a catalog that most of its zones have left.
	AllowRemoval bool `json:"allow_removal,omitempty"`
}

// refreshTimeout is how long a request waits for the primaries: less than the time limits of the listener and of the
// command, so that its error arrives. The check then goes on.
const refreshTimeout = 45 * time.Second

func (a *api) zones(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"zones": a.control.Zones()})
}

// exportZone answers with a zone as a master file.
func (a *api) exportZone(w http.ResponseWriter, r *http.Request) {
	name, err := dnsname.Parse(r.URL.Query().Get("zone"))
	if err != nil {
		problem(w, http.StatusBadRequest, "zone: "+err.Error(), "ask for /v1/zones/export?zone=example.com")
		return
	}
	content, err := a.control.ZoneContent(name)
	if err != nil {
		writeError(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/dns; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_ = content.WriteMasterFile(w) // an error: the client has gone
}

func (a *api) refreshZone(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked ZoneRefreshRequest
	if !read(w, r, &asked) {
		return "", ""
	}
	name, err := dnsname.Parse(asked.Zone)
	if err != nil {
		problem(w, http.StatusBadRequest, "zone: "+err.Error(), `write {"zone": "example.com"}`)
		return asked.Zone, ""
	}
	ctx, cancel := context.WithTimeout(r.Context(), refreshTimeout)
	defer cancel()
	var status control.Zone
	if status, err = a.control.RefreshZone(ctx, name, secondary.How{Force: asked.Retransfer, AllowRemoval: asked.AllowRemoval}); err != nil {
		writeError(w, err)
		return string(name), ""
	}
	answer(w, http.StatusOK, status)
	return string(name), ""
}

// ZoneRequest is the body of POST /v1/zones/notify, /v1/zones/freeze and /v1/zones/thaw.
type ZoneRequest struct {
	Zone   string `json:"zone"`
	Reason string `json:"reason,omitempty"` // of freeze
}

// ZoneNotified is the response to POST /v1/zones/notify.
type ZoneNotified struct {
	Zone        dnsname.Name `json:"zone"`
	Secondaries int          `json:"secondaries"` // that are notified, without waiting for them
}

// readZone reads a request for a zone. It returns false after it has answered with an error.
func readZone(w http.ResponseWriter, r *http.Request) (asked ZoneRequest, name dnsname.Name, ok bool) {
	if !read(w, r, &asked) {
		return asked, "", false
	}
	name, err := dnsname.Parse(asked.Zone)
	if err != nil {
		problem(w, http.StatusBadRequest, "zone: "+err.Error(), `write {"zone": "example.com"}`)
		return asked, "", false
	}
	return asked, name, true
}

// respond answers with a result or an error.
func respond[T any](w http.ResponseWriter, result T, err error) {
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, result)
}

func (a *api) notifyZone(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	asked, name, ok := readZone(w, r)
	if ok {
		n, err := a.control.NotifyZone(name)
		respond(w, ZoneNotified{name, n}, err)
	}
	return asked.Zone, ""
}

func (a *api) freezeZone(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	asked, name, ok := readZone(w, r)
	if ok {
		frozen, err := a.control.Freeze(name, asked.Reason)
		respond(w, frozen, err)
	}
	return asked.Zone, asked.Reason
}

func (a *api) thawZone(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	asked, name, ok := readZone(w, r)
	if ok {
		thawed, err := a.control.Thaw(name)
		respond(w, thawed, err)
	}
	return asked.Zone, ""
}
