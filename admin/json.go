package admin

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"meridian/control"
)

// Problem is an error response (RFC 9457): what is wrong with a request, and a hint. Of its members, error, hint,
// errors and guardrail are extensions; error is the same as detail.
type Problem struct {
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail"`
	Instance  string        `json:"instance,omitempty"` // with the id of the request
	Error     string        `json:"error"`
	Hint      string        `json:"hint,omitempty"`
	Errors    []ConfigError `json:"errors,omitempty"`         // of a refused configuration
	Omitted   int           `json:"errors_omitted,omitempty"` // errors that are not in Errors
	Guardrail string        `json:"guardrail,omitempty"`      // that the change breaks
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // v is one of our types
	}
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has gone
}

func problem(w http.ResponseWriter, code int, what, hint string) {
	writeProblem(w, Problem{Status: code, Detail: what, Hint: hint})
}

// writeProblem answers with p, which needs a Status and a Detail.
func writeProblem(w http.ResponseWriter, p Problem) {
	p.Error = p.Detail
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	if id := w.Header().Get(requestIDHeader); id != "" {
		p.Instance = "urn:meridian:request:" + id
	}
	w.Header().Set("Content-Type", "application/problem+json")
	answer(w, p.Status, p)
}

// writeError answers with the error of a refused request.
func writeError(w http.ResponseWriter, err error) {
	var r *control.RequestError
	switch {
	case !errors.As(err, &r):
		problem(w, http.StatusBadRequest, err.Error(), "")
	case r.NotFound:
		problem(w, http.StatusNotFound, r.What, r.Hint)
	case r.Unavailable:
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, r.What, r.Hint)
	case r.Stale:
		problem(w, http.StatusPreconditionFailed, r.What, r.Hint)
	default:
		writeProblem(w, Problem{Status: http.StatusConflict, Detail: r.What, Hint: r.Hint, Guardrail: r.Guardrail})
	}
}

// notFound answers that mux has no such path, or not for that method.
func notFound(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if allow := strings.Join(allowed, ", "); allow != "" {
		w.Header().Set("Allow", allow)
		problem(w, http.StatusMethodNotAllowed, fmt.Sprintf("method %s is not allowed for %s", r.Method, r.URL.Path), "use "+allow)
		return
	}
	problem(w, http.StatusNotFound, fmt.Sprintf("404 not found: %s %s", r.Method, r.URL.Path), "see docs/reference/api.md")
}

// maxBody is the maximum size of a request body, in bytes.
const maxBody = 16 << 10

// read reads the body of a request into v, strictly. If the body is invalid, it answers with the
// error and returns false.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if !isJSON(r) {
		problem(w, http.StatusUnsupportedMediaType, "the content type of the body is not JSON", "send Content-Type: application/json")
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = decode(body, v)
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxBody), "")
	case err != nil:
		problem(w, http.StatusBadRequest, "invalid body: "+err.Error(), "see docs/reference/api.md")
	}
	return err == nil
}

// decode decodes one JSON value into v. It rejects unknown, duplicate and capitalized fields.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return describeJSONError(err)
	}
	if _, more := d.Token(); more != io.EOF { //nolint:errorlint // Token returns it as it is
		return errors.New("it holds more than one value")
	}
	return singleFields(body)
}

// describeJSONError describes a JSON error in terms of JSON, not of Go.
func describeJSONError(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("it is %s; want an object such as {\"target\": \"web\"}", named(kind.Value))
	case errors.As(err, &kind):
		return fmt.Errorf("%q is %s; want %s", kind.Field, named(kind.Value), kindOf(kind.Type))
	case errors.As(err, &syntax):
		return fmt.Errorf("at byte %d: %w", syntax.Offset, err)
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends in the middle of a value")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// named names a kind of value, given the name from encoding/json.
func named(value string) string {
	switch value {
	case "object":
		return "an object"
	case "array":
		return "a list"
	case "bool":
		return "true or false"
	}
	return "a " + value
}

// kindOf names the JSON kind of a Go type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number of 0 or more"
	case reflect.Struct, reflect.Map:
		if !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			return "an object"
		}
	}
	return "a string"
}

// singleFields checks the field names of a valid object without nested objects:
// encoding/json would use the last of duplicate fields and ignore case.
func singleFields(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	seen, lists := make(map[string]bool), 0
	for name := true; ; name = !name {
		token, err := d.Token()
		if err != nil {
			return nil // end of the object
		}
		if brace, ok := token.(json.Delim); ok {
			switch brace {
			case '[':
				lists++
			case ']':
				lists--
			}
			name = false
			continue
		}
		field, text := token.(string)
		switch {
		case !name || !text || lists > 0:
		case seen[field]:
			return fmt.Errorf("field %q is given twice", field)
		case field != strings.ToLower(field):
			return fmt.Errorf("unknown field %q; did you mean %q?", field, strings.ToLower(field))
		default:
			seen[field] = true
		}
	}
}
