package admin_test

import (
	"testing"

	"meridian/admin"
)

func TestConfigurationRequestsThatAreRefused(t *testing.T) {
	h := api(t, admin.Options{})
	const yaml = "application/yaml"
	expectCode(t, send(t, h, "PUT", "/v1/config", "{}", "Content-Type", "application/json"), 415, "application/yaml")
	expectCode(t, send(t, h, "PUT", "/v1/config?max_moved=0%", "{}", "Content-Type", yaml), 400, "not a part of the clients")
	expectCode(t, send(t, h, "PUT", "/v1/config?max_moved=101%", "{}", "Content-Type", yaml), 400, "not a part of the clients")
	expectCode(t, send(t, h, "PUT", "/v1/config?file=other.yaml", "{}", "Content-Type", yaml), 404, "no file")
	expectCode(t, send(t, h, "PUT", "/v1/config", "{}", "Content-Type", yaml, "If-Match", `"x"`), 412, "the configuration has changed")
	expectCode(t, send(t, h, "POST", "/v1/config/rollback", `{"generation": 9}`), 404, "no generation 9")
	expectCode(t, send(t, h, "POST", "/v1/config/rollback", `{"generation": "9"}`), 400, "want a whole number")
	expectCode(t, send(t, h, "POST", "/v1/config/rollback", `{"generation": -1}`), 400, "want a whole number of 0 or more")
	expectCode(t, send(t, h, "GET", "/v1/config?generation=9", ""), 404, "no generation 9")
	expectCode(t, send(t, h, "GET", "/v1/config?generation=last", ""), 400, "is not a number")
	expectCode(t, send(t, h, "GET", "/v1/config/generations", ""), 200, `"generation": 1`)
	secret := "0123456789abcdef"
	h = api(t, admin.Options{Tokens: []admin.Token{{Name: "oncall", Role: admin.Operator, Secret: secret}}})
	expectCode(t, send(t, h, "PUT", "/v1/config", "{}", "Content-Type", yaml, "Authorization", "Bearer "+secret), 403, "role admin")
	for _, path := range []string{"/v1/config/check", "/v1/config/plan"} { // errors of a configuration quote the files that it names
		expectCode(t, send(t, h, "POST", path, "zones: {example.com: {file: /etc/passwd}}", "Content-Type", yaml, "Authorization", "Bearer "+secret), 403, "role admin")
	}
}
