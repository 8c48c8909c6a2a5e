package admin

import (
	"fmt"
	"net/http"
	"strconv"
)

// The number of entries of each list of GET /v1/top.
const (
	defaultTop = 20
	mostTop    = 1000
)

// top answers with the most frequent queries of the last minute.
func (a *api) top(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "limit")
	if !ok {
		return
	}
	limit, err := strconv.Atoi(words.Get("limit"))
	if words.Get("limit") == "" {
		limit, err = defaultTop, nil
	}
	if err != nil || limit < 1 || limit > mostTop {
		problem(w, http.StatusBadRequest, fmt.Sprintf("limit %q is not a number of entries", words.Get("limit")), fmt.Sprintf("1 to %d", mostTop))
		return
	}
	report, err := a.control.Top(limit)
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, report)
}
