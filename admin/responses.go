package admin

import (
	"reflect"

	"meridian/control"
	"meridian/control/top"
	"meridian/health/probe"
	"meridian/plan"
	"meridian/snapshot"
)

// responseTypes returns a value of the type of each response in JSON, by the pattern of the request. A request that is
// not in it answers with another form, or with a document of a form of its own.
func responseTypes() map[string]any {
	return map[string]any{
		"GET /v1/status": control.Status{},
		"GET /v1/overrides": struct {
			Overrides []control.Override `json:"overrides"`
		}{},
		"PUT /v1/overrides":    control.Override{},
		"POST /v1/overrides":   control.Override{},
		"DELETE /v1/overrides": control.Override{},
		"GET /v1/filters": struct {
			Filters []control.Filter `json:"filters"`
		}{},
		"PUT /v1/filters":    control.Filter{},
		"DELETE /v1/filters": control.Filter{},
		"POST /v1/reload":    control.Loaded{},
		"PUT /v1/config":     control.Loaded{},
		"POST /v1/config/check": struct {
			Valid   bool `json:"valid"`
			Zones   int  `json:"zones"`
			Pools   int  `json:"pools"`
			Regions int  `json:"regions"`
		}{},
		"POST /v1/config/plan": plan.Forecast{},
		"GET /v1/config/generations": struct {
			Generations []StoredGeneration `json:"generations"`
		}{},
		"POST /v1/config/rollback":        control.Loaded{},
		"POST /v1/clear":                  Cleared{},
		"POST /v1/checks/{check}/reports": Reported{},
		"POST /v1/probe":                  probe.Report{},
		"POST /v1/upgrade":                control.Upgraded{},
		"GET /v1/explain":                 control.Explanation{},
		"GET /v1/version": struct {
			Version string `json:"version"`
		}{},
		"GET /v1/session":        Session{},
		"GET /v1/events":         EventPage{},
		"GET /v1/audit":          AuditPage{},
		"GET /v1/stats":          control.Stats{},
		"GET /v1/answers":        control.Answers{},
		"GET /v1/resolvers":      control.ResolverReport{},
		"GET /v1/top":            top.Report{},
		"POST /v1/zones/refresh": control.Zone{},
		"POST /v1/zones/notify":  ZoneNotified{},
		"POST /v1/zones/freeze":  control.FrozenZone{},
		"POST /v1/zones/thaw":    control.FrozenZone{},
		"GET /v1/zones": struct {
			Zones []control.Zone `json:"zones"`
		}{},
		"GET /v1/keys": struct {
			Zones []snapshot.ZoneKeys `json:"zones"`
		}{},
		"GET /v1/regions": struct {
			Regions []control.Region `json:"regions"`
		}{},
		"GET /v1/cluster":  control.ClusterStatus{},
		"GET /v1/forecast": ForecastAnswer{},
	}
}

// responseSchema returns the schema of the response to a request; any document if it has no type.
func (s *schemas) responseSchema(pattern string) object {
	if v := responseTypes()[pattern]; v != nil {
		return s.of(reflect.TypeOf(v))
	}
	return object{}
}
