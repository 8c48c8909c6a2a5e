package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"meridian/server"
)

// Problem is what is wrong with a request, and what would be right.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // v is ours
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) //nolint:errcheck // whoever asked has gone
}

func problem(w http.ResponseWriter, code int, what, hint string) {
	answer(w, code, Problem{what, hint})
}

// refuse says why the server did not do as told.
func refuse(w http.ResponseWriter, err error) {
	var r *server.Refused
	switch {
	case !errors.As(err, &r):
		problem(w, http.StatusBadRequest, err.Error(), "")
	case r.Unknown:
		problem(w, http.StatusNotFound, r.What, r.Hint)
	default:
		problem(w, http.StatusConflict, r.What, r.Hint)
	}
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem(w, http.StatusNotFound, fmt.Sprintf("nothing at %s %s", r.Method, r.URL.Path), "see docs/admin.md")
}

// maxBody is the longest body of a request, in octets.
const maxBody = 16 << 10

// read reads the body of a request into v, strictly. It reports false when it
// has answered that the body is wrong.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if !isJSON(r) {
		problem(w, http.StatusUnsupportedMediaType, "the body is not said to be JSON", "send Content-Type: application/json")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF { //nolint:errorlint // Token returns it as it is
			err = errors.New("there is more than one value")
		}
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxBody), "")
	case err != nil:
		problem(w, http.StatusBadRequest, "the body is not as it should be: "+err.Error(), "see docs/admin.md")
	}
	return err == nil
}
