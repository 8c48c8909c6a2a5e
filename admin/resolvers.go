package admin

import (
	"fmt"
	"net/http"
	"strconv"
)

// The number of resolvers in a report.
const (
	defaultResolvers = 100
	mostResolvers    = 10_000
)

// resolvers answers with the statistics of resolvers.
func (a *api) resolvers(w http.ResponseWriter, r *http.Request) {
	words, ok := query(w, r, "limit", "misplaced")
	if !ok {
		return
	}
	limit, err := strconv.Atoi(words.Get("limit"))
	if words.Get("limit") == "" {
		limit, err = defaultResolvers, nil
	}
	if err != nil || limit < 1 || limit > mostResolvers {
		problem(w, http.StatusBadRequest, fmt.Sprintf("limit %q is not a number of resolvers", words.Get("limit")), fmt.Sprintf("1 to %d", mostResolvers))
		return
	}
	misplaced, err := strconv.ParseBool(words.Get("misplaced"))
	if words.Get("misplaced") != "" && err != nil {
		problem(w, http.StatusBadRequest, fmt.Sprintf("misplaced %q is not a condition", words.Get("misplaced")), "true: only resolvers that look misplaced")
		return
	}
	report, err := a.control.Resolvers(limit, misplaced)
	if err != nil {
		writeError(w, err)
		return
	}
	answer(w, http.StatusOK, report)
}
