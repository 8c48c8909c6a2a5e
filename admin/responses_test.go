package admin_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"meridian/admin"
)

// described is the description of the API, ready to validate responses.
var described = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	w := httptest.NewRecorder()
	admin.Document(w)
	document, err := jsonschema.UnmarshalJSON(w.Body)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	return c, c.AddResource("openapi.json", document)
})

// validateResponse compares a response in JSON with the schema that the description has for it. send calls it for all
// responses of the tests.
func validateResponse(t *testing.T, method, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	place := "openapi.json#/components/schemas/Problem"
	switch kind := w.Header().Get("Content-Type"); {
	case kind == "application/json" && w.Code == http.StatusOK && strings.HasPrefix(path, "/v1/"):
		if strings.HasPrefix(path, "/v1/checks/") {
			path = "/v1/checks/{check}/reports"
		}
		place = "openapi.json#/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(method) + "/responses/200/content/application~1json/schema"
	case kind != "application/problem+json":
		return
	}
	c, err := described()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(strings.NewReplacer("{", "%7B", "}", "%7D").Replace(place))
	if err != nil {
		t.Fatal(err)
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err == nil {
		err = schema.Validate(body)
	}
	if err != nil {
		t.Errorf("%s %s: the response is not as described: %v\n%.2000s", method, path, err, w.Body)
	}
}

// TestResponsesAreAsDescribed asks for all that a server shows without arguments.
func TestResponsesAreAsDescribed(t *testing.T) {
	h := api(t, admin.Options{Version: "v1"})
	for _, path := range []string{
		"status", "status?target=web", "overrides", "config/generations", "version", "session", "events", "audit", "stats", "answers", "zones", "keys", "regions",
		"forecast?from=healthy", "explain?name=www.example.com&client=192.0.2.1", "resolvers",
	} {
		if w := send(t, h, "GET", "/v1/"+path, ""); w.Code != http.StatusOK && path != "resolvers" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
