package admin_test

import (
	"strings"
	"testing"

	"meridian/admin"
)

func TestKeysOfSignedZones(t *testing.T) {
	expectCode(t, send(t, api(t, admin.Options{}), "GET", "/v1/keys", ""), 200, `"zones": []`)
	signed := "dnssec: {keys: " + t.TempDir() + "/keys}\n" + strings.Replace(world, "contact:", "dnssec: default\n    contact:", 1)
	h, _ := serveWorld(t, signed, admin.Options{})
	for _, path := range []string{"/v1/keys", "/v1/status"} {
		for _, want := range []string{
			`"zone": "example.com."`, `"policy": "default"`, `"role": "csk"`, `"state": "active"`, `"algorithm": 13`, `"ds": "unknown"`, `"ds_seen": false`, `"signatures_expire": "2`,
		} {
			expectCode(t, send(t, h, "GET", path, ""), 200, want)
		}
	}
	expectCode(t, send(t, h, "GET", "/v1/events?kind=dnssec", ""), 200, `"events"`)
}
