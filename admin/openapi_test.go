package admin_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"meridian/admin"
)

// TestOpenAPIHasEveryRequest compares the document with the page and with the handlers.
func TestOpenAPIHasEveryRequest(t *testing.T) {
	h := api(t, admin.Options{Version: "v1"})
	var document struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	w := send(t, h, "GET", "/v1/openapi.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || !strings.HasPrefix(document.OpenAPI, "3.1") {
		t.Fatalf("%s: %v", w.Body, err)
	}
	expectSchemas(t, document.Paths)
	page, err := os.ReadFile("../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method := range methods {
			request := strings.ToUpper(method) + " " + strings.ReplaceAll(path, "{check}", "NAME")
			if request != "POST /v1/overrides" && !strings.Contains(string(page), "`"+request) {
				t.Errorf("the page has no %s", request)
			}
		}
		w := send(t, h, "PATCH", path, "")
		allowed := strings.Split(w.Header().Get("Allow"), ", ")
		if w.Code != 405 || len(allowed) != len(methods) {
			t.Errorf("%s allows %q, the document has %d methods", path, allowed, len(methods))
		}
	}
}

// expectSchemas checks that each response in JSON has a schema, but for the document itself.
func expectSchemas(t *testing.T, paths map[string]map[string]json.RawMessage) {
	t.Helper()
	for path, methods := range paths {
		for method, text := range methods {
			var operation struct {
				Responses map[string]struct {
					Content map[string]struct {
						Schema map[string]any `json:"schema"`
					} `json:"content"`
				} `json:"responses"`
			}
			if err := json.Unmarshal(text, &operation); err != nil {
				t.Fatal(err)
			}
			done, isJSON := operation.Responses["200"].Content["application/json"]
			if isJSON && len(done.Schema) == 0 && path != "/v1/openapi.json" {
				t.Errorf("the response to %s %s has no schema", strings.ToUpper(method), path)
			}
		}
	}
}
