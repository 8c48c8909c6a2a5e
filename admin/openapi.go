package admin

import (
	"net/http"
	"strings"
)

// route is a request of the API.
type route struct {
	pattern string // method and path
	handle  http.HandlerFunc
	summary string
}

// routes returns the requests of the API under /v1/.
func (a *api) routes() []route {
	return []route{
		{"GET /v1/status", a.status, "Status of members"},
		{"GET /v1/overrides", a.overrides, "Active overrides"},
		{"PUT /v1/overrides", a.audited("set an override", a.override), "Set an override"},
		{"POST /v1/overrides", a.audited("set an override", a.override), "Set an override"},
		{"DELETE /v1/overrides", a.audited("remove an override", a.deleteOverride), "Remove an override"},
		{"GET /v1/filters", a.filters, "Rules of the filter"},
		{"PUT /v1/filters", a.audited("set a filter rule", a.putFilter), "Add a rule to the filter"},
		{"DELETE /v1/filters", a.audited("remove a filter rule", a.deleteFilter), "Remove a rule from the filter"},
		{"POST /v1/reload", a.audited("reload", a.reload), "Load the configuration again"},
		{"POST /v1/upgrade", adminOnly(a.upgrade), "Replace the process by its new program"},
		{"GET /v1/config", a.configGet, "The served configuration"},
		{"PUT /v1/config", adminOnly(a.audited("change the configuration", a.configPut)), "Replace the configuration"},
		{"POST /v1/config/check", adminOnly(a.configCheck), "Check a configuration"},
		{"POST /v1/config/plan", adminOnly(a.configPlan), "Forecast the effect of a configuration"},
		{"GET /v1/config/generations", a.configGenerations, "Configurations that have served"},
		{"POST /v1/config/rollback", adminOnly(a.audited("roll the configuration back", a.configRollback)), "Serve a stored configuration again"},
		{"POST /v1/clear", a.audited("clear holds", a.clear), "Release holds"},
		{"POST /v1/checks/{check}/reports", a.auditedReport, "Report a result to a check of type push"},
		{"POST /v1/probe", a.audited("probe", a.probe), "Run a check once"},
		{"GET /v1/explain", a.explain, "Explain an answer"},
		{"GET /v1/version", a.version, "Version"},
		{"GET /v1/session", a.session, "The user of the request"},
		{"GET /v1/events", a.eventList, "Events"},
		{"GET /v1/events/stream", a.eventStream, "Events as they happen"},
		{"GET /v1/audit", a.auditList, "Changes made through the API"},
		{"GET /v1/stats", a.stats, "Counters"},
		{"GET /v1/answers", a.answers, "Answers of each member"},
		{"GET /v1/resolvers", a.resolvers, "Resolvers that query the server"},
		{"GET /v1/top", a.top, "What the server was asked for in the last minute"},
		{"GET /v1/zones", a.zones, "Zones"},
		{"GET /v1/zones/export", a.exportZone, "A zone as a master file"},
		{"POST /v1/zones/refresh", a.audited("refresh a zone", a.refreshZone), "Ask the primaries of a zone now"},
		{"POST /v1/zones/notify", a.audited("notify secondaries", a.notifyZone), "Notify the secondaries of a zone now"},
		{"POST /v1/zones/freeze", a.audited("freeze a zone", a.freezeZone), "Refuse updates of a zone"},
		{"POST /v1/zones/thaw", a.audited("thaw a zone", a.thawZone), "Make updates of a zone again"},
		{"GET /v1/keys", a.keys, "DNSSEC keys of the signed zones"},
		{"GET /v1/regions", a.regions, "Regions"},
		{"GET /v1/cluster", a.cluster, "The cluster of the node"},
		{"GET /v1/forecast", a.forecast, "Forecast the effect of a change"},
	}
}

// object is a JSON object.
type object = map[string]any

// openAPI answers with the description of the API, OpenAPI 3.1. It is made from the routes, so it has all of them.
func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) {
	paths, made := object{}, &schemas{components: object{"Problem": problemSchema()}}
	for _, r := range append(a.routes(), route{pattern: "GET /v1/openapi.json", summary: "This document"}) {
		method, path, _ := strings.Cut(r.pattern, " ")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(method)] = operation(method, path, r.summary, made.responseSchema(r.pattern))
	}
	answer(w, http.StatusOK, object{
		"openapi":  "3.1.0",
		"info":     object{"title": "Meridian", "version": a.Version, "description": "docs/reference/api.md describes each request."},
		"paths":    paths,
		"security": []object{{}, {"token": []string{}}},
		"components": object{
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
			"schemas":         made.components,
		},
	})
}

// operation describes a request with a schema for its JSON response.
func operation(method, path, summary string, schema object) object {
	kind := "application/json"
	switch {
	case path == "/v1/config":
		kind = "application/yaml"
	case path == "/v1/events/stream":
		kind = "text/event-stream"
	case path == "/v1/zones/export":
		kind = "text/dns"
	}
	o := object{
		"summary": summary,
		"responses": object{
			"200":     object{"description": "done", "content": object{kind: object{"schema": schema}}},
			"default": object{"description": "an error", "content": object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}}},
		},
	}
	if method == http.MethodPut && path == "/v1/config" {
		o["responses"].(object)["200"] = object{"description": "done", "content": object{"application/json": object{"schema": schema}}}
	}
	if method == http.MethodPut || method == http.MethodPost {
		body := "application/json"
		if strings.HasPrefix(path, "/v1/config") && path != "/v1/config/rollback" {
			body = "application/yaml"
		}
		o["requestBody"] = object{"content": object{body: object{}}}
	}
	if _, name, ok := strings.Cut(path, "{"); ok {
		name, _, _ = strings.Cut(name, "}")
		o["parameters"] = []object{{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}}}
	}
	return o
}

// problemSchema describes Problem.
func problemSchema() object {
	text := object{"type": "string"}
	return object{
		"type": "object", "required": []string{"title", "status", "detail"},
		"properties": object{
			"title": text, "status": object{"type": "integer"}, "detail": text, "instance": text, "error": text, "hint": text, "guardrail": text,
			"errors_omitted": object{"type": "integer"},
			"errors": object{"type": "array", "items": object{
				"type": "object", "required": []string{"file", "message"},
				"properties": object{
					"file": text, "line": object{"type": "integer"}, "column": object{"type": "integer"}, "path": text, "message": text, "hint": text,
				},
			}},
		},
	}
}
