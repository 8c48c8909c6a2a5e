package admin

import (
	"net/http"
	"time"

	"meridian/control"
)

// FilterRequest is the body of PUT /v1/filters.
type FilterRequest struct {
	Name   string   `json:"name"`
	Types  []string `json:"types,omitempty"`  // record types; none: any
	Names  []string `json:"names,omitempty"`  // *.example.com. is every name below it; none: any
	Source []string `json:"source,omitempty"` // networks; none: any
	Action string   `json:"action"`           // drop, refuse, truncate
	Reason string   `json:"reason,omitempty"`
	For    Duration `json:"for"` // how long it applies
}

func (a *api) filters(w http.ResponseWriter, _ *http.Request) {
	a.tagFilters(w)
	answer(w, http.StatusOK, map[string]any{"filters": a.control.Filters()})
}

// tagFilters sets the ETag of the rules of the filter, for a later If-Match.
func (a *api) tagFilters(w http.ResponseWriter) {
	w.Header().Set("ETag", `"`+a.control.FiltersTag()+`"`)
}

func (a *api) putFilter(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	var asked FilterRequest
	if !read(w, r, &asked) {
		return "", ""
	}
	added, err := a.control.AddFilter(control.Filter{
		Name: asked.Name, Types: asked.Types, Names: asked.Names, Source: asked.Source, Action: asked.Action, Reason: asked.Reason,
	}, time.Duration(asked.For), ifMatch(r))
	if err != nil {
		writeError(w, err)
		return asked.Name, asked.Reason
	}
	a.tagFilters(w)
	answer(w, http.StatusOK, added)
	return asked.Name, asked.Reason
}

func (a *api) deleteFilter(w http.ResponseWriter, r *http.Request) (subject, reason string) {
	words, ok := query(w, r, "name")
	if !ok {
		return "", ""
	}
	name := words.Get("name")
	removed, err := a.control.RemoveFilter(name, ifMatch(r))
	if err != nil {
		writeError(w, err)
		return name, ""
	}
	a.tagFilters(w)
	answer(w, http.StatusOK, removed)
	return name, ""
}
